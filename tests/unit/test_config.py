import pytest

from ser.config import Settings
from ser.errors import SettingsError


def test_defaults_need_no_environment() -> None:
    assert Settings.from_env({}) == Settings()


def test_every_variable_is_read() -> None:
    settings = Settings.from_env(
        {
            "SER_ACOUSTIC_MODEL": "some/model",
            "SER_TEXT_MODEL": "none",
            "SER_TRANSCRIBER": "whisper",
            "SER_WHISPER_MODEL": "some/whisper",
            "SER_LANGUAGE_MODEL": "some/llm",
            "SER_VOICE": "espeak",
            "SER_FACE": "none",
            "SER_DEVICE": "cpu",
            "SER_MAX_DURATION": "12.5",
            "SER_TRANSCRIBER_THREADS": "2",
            "SER_DENOISE": "on",
        }
    )
    assert settings == Settings(
        acoustic_model="some/model",
        text_model="none",
        transcriber="whisper",
        whisper_model="some/whisper",
        language_model="some/llm",
        voice="espeak",
        face="none",
        device="cpu",
        max_duration=12.5,
        transcriber_threads=2,
        denoise=True,
    )


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SER_TRANSCRIBER_THREADS", "two", "SER_TRANSCRIBER_THREADS is 'two'; a whole number from 1 is needed."),
        ("SER_TRANSCRIBER_THREADS", "0", "transcriber_threads is 0; it must be 1 or more."),
        ("SER_DENOISE", "yes", "SER_DENOISE is 'yes'; expected one of on, off."),
        ("SER_DEVICE", "tpu", "device is 'tpu'; expected one of auto, cpu, cuda."),
        ("SER_MAX_DURATION", "long", "SER_MAX_DURATION is 'long'; a number of seconds is needed."),
        ("SER_MAX_DURATION", "-1", "max_duration is -1.0 s; it must be above 0. Leave it out for no limit."),
    ],
)
def test_a_wrong_value_is_named(variable: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_env({variable: value})
    assert str(error.value) == message
