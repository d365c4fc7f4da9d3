"""Figures for two scales, valence and arousal. Pure; own drawings.

Source: the idea of rating by figures is the self-assessment manikin, Bradley & Lang 1994, "Measuring emotion".
"""

STEPS = (0, 25, 50, 75, 100)
"""Values of the five figures of a scale, 0 to 100."""

VALENCE_WORDS = ("very unpleasant", "unpleasant", "neutral", "pleasant", "very pleasant")
AROUSAL_WORDS = ("very calm", "calm", "medium", "excited", "very excited")


def valence_figure(value: int) -> str:
    """Draw a head whose mouth turns from down to up.

    Args:
        value: 0 very unpleasant, 100 very pleasant.
    """
    # Control point of the mouth: above its corners the mouth hangs, below it smiles.
    bend = 17 + (value - 50) * 0.16
    corner = 17 - (value - 50) * 0.05
    return _figure(
        '<rect x="3" y="3" width="22" height="22" rx="7"/><path d="M10 11v.01M18 11v.01"/>'
        f'<path d="M8.5 {corner:.1f}Q14 {bend:.1f} 19.5 {corner:.1f}"/>'
    )


def arousal_figure(value: int) -> str:
    """Draw a body with a burst in it that grows.

    Args:
        value: 0 very calm, 100 very excited.
    """
    reach = 1.2 + value * 0.055
    rays = "".join(
        f"M14 16l{x * reach:.1f} {y * reach:.1f}"
        for x, y in ((1, 0), (0.5, 0.87), (-0.5, 0.87), (-1, 0), (-0.5, -0.87), (0.5, -0.87))
    )
    eyes = "M12.6 5v.01M15.4 5v.01" if value > 0 else "M12 5h1.4M14.8 5h1.4"
    return _figure(
        f'<circle cx="14" cy="5.2" r="3.6"/><path d="M6 26V15q0-5.5 8-5.5t8 5.5v11"/><path d="{eyes}"/>'
        f'<path d="{rays}"/>'
    )


def scale(name: str, legend: str) -> str:
    """Draw a row of five figures to choose one from, as radio buttons.

    Args:
        name: `valence` or `arousal`.
        legend: what is asked.

    >>> scale("valence", "x").count('type="radio"')
    5
    """
    words, draw = (VALENCE_WORDS, valence_figure) if name == "valence" else (AROUSAL_WORDS, arousal_figure)
    steps = "".join(
        f'<label title="{word}"><input type="radio" name="{name}" value="{value}" aria-label="{word}">{draw(value)}'
        f"<span>{word}</span></label>"
        for value, word in zip(STEPS, words, strict=True)
    )
    return (
        f'<fieldset class="manikins" id="review-{name}"><legend>{legend} '
        f'<button type="button" class="reset" data-resets="{name}">clear</button></legend>'
        f'<div class="steps">{steps}</div></fieldset>'
    )


def _figure(strokes: str) -> str:
    return f'<svg viewBox="0 0 28 28" aria-hidden="true">{strokes}</svg>'
