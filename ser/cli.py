"""The options of `python -m ser`; the work is done in `ser.commands`, imported when the options are known."""

import argparse
import dataclasses
import importlib
import sys
from collections.abc import Sequence

from ser.config import DEVICES, EMBEDDED, Settings
from ser.corpora import LAYOUTS
from ser.errors import DataLeakError, SerError
from ser.labels import EMOTIONS
from ser.serialization import print_everything

_SETTINGS_OPTIONS = ("text_model", "transcriber", "whisper_model", "device", "max_duration")


def build_parser() -> argparse.ArgumentParser:
    """The options of all commands."""
    parser = argparse.ArgumentParser(prog="python -m ser", description="Speech emotion recognition.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_recognize(commands.add_parser("recognize", help="say which emotion is in recordings"))
    _add_timeline(commands.add_parser("timeline", help="say which emotion is when in long recordings"))
    _add_converse(commands.add_parser("converse", help="say what is felt in a conversation, and what caused it"))
    _add_explain(commands.add_parser("explain", help="say why an answer is what it is"))
    _add_say(commands.add_parser("say", help="speak a text, in a tone, into a WAV file"))
    _add_evaluate(commands.add_parser("evaluate", help="measure a model on a labelled corpus"))
    _add_train(commands.add_parser("train", help="train a model on labelled corpora"))
    _add_export(commands.add_parser("export", help="bring an acoustic model into ONNX or TorchScript form"))
    _add_check_data(commands.add_parser("check-data", help="look for speakers and recordings in two parts of a split"))
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0 done, 1 some files failed or data leaks, 2 nothing could be done."""
    print_everything()
    options = build_parser().parse_args(argv)
    if getattr(options, "layout", None):
        options.data = [f"{options.layout}:{source}" for source in options.data]
    command = importlib.import_module(f"ser.commands.{options.command.replace('-', '_')}")
    try:
        code: int = command.run(options, _settings(options))
    except DataLeakError as error:
        print(error, file=sys.stderr)
        return 1
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    return code


def _add_recognize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="recordings, or folders of them")
    parser.add_argument(
        "--same-speaker", action="store_true", help="one person speaks in all of them: adapt each answer by the others"
    )
    parser.add_argument(
        "--same-source", action="store_true", help="one microphone and room: adapt the answers to it (from 16 files)"
    )
    _add_neutral(parser)
    parser.add_argument("--face", metavar="PICTURE", help="of who speaks in the one recording (SER_FACE)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    _add_models(parser)
    parser.add_argument(
        "--output", metavar="DIR.parquet", help="write a parquet folder; given again, it goes on where it stopped"
    )
    parser.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="with --output: one process, or workers of Ray (docs/scaling.md)",
    )
    parser.add_argument(
        "--workers", type=_count, metavar="N", help="with --engine ray: processes (default: one for each core)"
    )


def _add_neutral(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--neutral", nargs="+", metavar="FILE", help="the same person reading without a feeling: adapt answers by it"
    )


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="MODEL", help="acoustic model: embedded, a folder or a Hub id")
    parser.add_argument("--text-model", metavar="MODEL", help="text model: embedded, none, a folder or a Hub id")
    parser.add_argument("--transcriber", metavar="MODEL", help="embedded (default), none, a folder or a Hub id")
    parser.add_argument("--whisper-model", metavar="MODEL", help="older name of --transcriber")
    parser.add_argument("--max-duration", type=float, metavar="SECONDS", help="refuse longer recordings")
    parser.add_argument("--device", choices=DEVICES, help="where the models run")


def _add_timeline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="recordings of up to four hours, or folders of them")
    parser.add_argument(
        "--channels",
        choices=("split", "mix", "auto"),
        default="auto",
        help="answer each channel by itself, all mixed, or split those that hold different speech (default)",
    )
    parser.add_argument(
        "--speakers",
        default="off",
        metavar="N|auto|off",
        help="tell speakers of one channel apart by their voices: how many there are, or auto (default off)",
    )
    _add_neutral(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--out", metavar="DIR", help="write a file for each recording there")
    parser.add_argument(
        "--format",
        choices=("json", "csv", "rttm", "textgrid", "vtt", "srt", "audacity", "labelstudio", "turns"),
        help="of the files in DIR (default json)",
    )
    _add_models(parser)


def _add_converse(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a transcript (.csv, .tsv, .json, .jsonl, .txt), a recording, or several that are turns in order",
    )
    parser.add_argument("--channels", choices=("split", "mix", "auto"), default="auto", help="as for timeline")
    parser.add_argument(
        "--speakers", nargs="+", metavar="NAME", default=["A", "B"], help="who speaks in turn, for several recordings"
    )
    parser.add_argument("--reply", type=int, metavar="TURN", help="offer a reply to a turn, from 1; 0 for the last")
    parser.add_argument("--language", default="en", help="of the reply: en (default) or zh")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    _add_models(parser)


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="recordings, or folders of them")
    parser.add_argument("--label", metavar="LABEL", help="to be explained in place of the most probable one")
    parser.add_argument(
        "--usual", nargs="+", metavar="FILE", help="recordings of the same speaker, that voice cues are compared with"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    _add_models(parser)


def _add_say(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="+", metavar="TEXT", help="what is to be said")
    parser.add_argument("--out", required=True, metavar="FILE.wav", help="the file to write, marked as synthetic")
    parser.add_argument("--tone", default="neutral", help="neutral (default), calm, gentle or bright")
    parser.add_argument(
        "--voice",
        default=EMBEDDED,
        help="embedded (default), espeak, the .onnx file of a Piper voice, or a text-to-speech checkpoint",
    )
    parser.add_argument("--chime", action="store_true", help="begin with two notes that tell that a machine speaks")
    parser.add_argument("--device", choices=DEVICES, help="where a checkpoint runs")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    _add_data(parser)
    parser.add_argument("--text", metavar="FILE.csv", help="measure the text model instead, on columns text,label")
    parser.add_argument("--model", metavar="MODEL", help="embedded (default), a folder or a Hub id")
    parser.add_argument(
        "--speakers",
        type=_names,
        metavar="A,B",
        help="only these speakers; 'reserved' for those that the recipe of the shipped weights never trains on",
    )
    parser.add_argument(
        "--labels",
        type=_emotions,
        metavar="a,b",
        help="only these labels, in truth and answer (renormalised); adaptation takes them for equally frequent",
    )
    parser.add_argument(
        "--by",
        type=_names,
        default=(),
        metavar="A,B",
        help="also by gender, age, language or emotion, where the corpora say it: counts, intervals, and differences "
        "within each corpus",
    )
    parser.add_argument(
        "--adapt",
        type=int,
        default=0,
        metavar="K",
        help="adapt each answer by K drawn, unlabelled clips of its speaker",
    )
    parser.add_argument(
        "--adapt-domain", action="store_true", help="adapt each answer by all clips of its --data folder, unlabelled"
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default 0)")
    parser.add_argument("--device", choices=DEVICES, help="where the model runs")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_data(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="where the model goes; must not exist yet")
    parser.add_argument(
        "--init",
        default=None,
        metavar="MODEL",
        help="what to start from: none (default), embedded, a folder or a Hub id",
    )
    parser.add_argument("--noise", metavar="DIR", help="recordings of noise to mix in")
    parser.add_argument(
        "--test-speakers", type=_names, metavar="A,B", help="kept out of training and choice, then measured"
    )
    parser.add_argument("--dev-speakers", type=_names, metavar="A,B", help="kept out of training, used for choice")
    parser.add_argument("--epochs", type=int, metavar="N", help="passes over the examples")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default 0)")
    parser.add_argument("--device", choices=DEVICES, help="where to train")
    parser.add_argument("--text", metavar="TRAIN.csv", help="train the text model instead, on columns text,label")
    parser.add_argument("--dev", metavar="DEV.csv", help="with --text: what the best epoch is chosen on")
    parser.add_argument(
        "--pretrain-on", metavar="FILE.txt", help="with --text and --init: adapt to a domain's unlabelled lines first"
    )
    parser.add_argument(
        "--near-words", metavar="MODEL", help="with --text: also train on copies with words of a masked language model"
    )
    parser.add_argument(
        "--back-translate",
        nargs=2,
        metavar=("THERE", "BACK"),
        help="with --text: also train on copies translated there and back by two translation models",
    )
    _add_training_options(parser)


def _add_training_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted (OUT.checkpoint)")
    parser.add_argument(
        "--tune",
        metavar="WHAT",
        help="part of a pretrained encoder to train: auto (default: frozen below some thousand clips, else full), "
        "frozen, head, top-k:N, full, lora, adalora or ia3; of a language model (default lora) also prefix or prompt",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an attribute of ser.config.TrainConfig (with --text: ser.text.config.TextTrainConfig), such as "
        "batch_size=32; may be given again",
    )
    parser.add_argument(
        "--log-to",
        action="append",
        default=[],
        choices=("tensorboard", "wandb", "trackio"),
        help="also write the curves there (to OUT.logs); may be given again",
    )


def _add_check_data(parser: argparse.ArgumentParser) -> None:
    _add_data(parser, required=True)
    parser.add_argument("--test-speakers", type=_names, metavar="A,B", help="those of the test part")
    parser.add_argument("--dev-speakers", type=_names, metavar="A,B", help="those of the dev part; all others train")
    parser.add_argument("--owner-splits", action="store_true", help="divide as the corpora's owners do, instead")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _add_data(parser: argparse.ArgumentParser, required: bool = False) -> None:
    parser.add_argument(
        "--data",
        nargs="+",
        action="extend",
        default=[],
        required=required,
        metavar="DIR",
        help="corpus folders as their owners ship them, folders with metadata.csv, or datasets:ID (docs/corpora.md)",
    )
    parser.add_argument(
        "--layout",
        choices=tuple(LAYOUTS),
        metavar="NAME",
        help="of all the data, where it is not recognised; or write NAME:DIR for one of them",
    )


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="MODEL", help="embedded (default), a folder or a Hub id")
    parser.add_argument(
        "--format", choices=("onnx", "torchscript"), default="onnx", help="of the exported model (default onnx)"
    )
    parser.add_argument("--quantize", choices=("int8",), help="make it smaller and less exact")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the exported model goes; must not exist yet")
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="DIR",
        help="corpus to compare answers on; may be given again",
    )
    parser.add_argument("--speakers", type=_names, metavar="A,B", help="only these speakers of the data")
    parser.add_argument("--tolerance", type=float, metavar="P", help="greatest difference of any probability accepted")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _settings(options: argparse.Namespace) -> Settings:
    """The environment's settings, with those replaced that the command line gives."""
    settings = Settings.from_env()
    options_of = {"acoustic_model": "model", **{name: name for name in _SETTINGS_OPTIONS}}
    values = {field: getattr(options, name, None) for field, name in options_of.items()}
    given = {field: value for field, value in values.items() if value is not None}
    # Long recordings are for the command line: there is no limit but the one that is asked for.
    return dataclasses.replace(settings, **{"max_duration": None, **given})


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': a whole number from 1 is needed")
    return int(text)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _emotions(text: str) -> list[str]:
    names = _names(text)
    unknown = [name for name in names if name not in EMOTIONS]
    if unknown or len(names) < 2:
        raise argparse.ArgumentTypeError(f"'{text}': at least two of {', '.join(EMOTIONS)} are needed")
    return names
