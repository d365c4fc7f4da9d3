"""The keys of the page, in one list for the help window and the About tab. Pure.

What each key does is in `assets/keys.js`.
"""

KEYS = (
    ("1 – 7", "choose anger, disgust, fear, happiness, neutral, sadness, surprise"),
    ("U", "unsure: heard, but no emotion can be named"),
    ("Enter", "save; on Review the next clip comes and plays"),
    ("S", "Review: skip this clip"),
    ("Z", "Review: undo the last vote, its clip comes back"),
    ("E", "edit the transcript; Esc leaves it"),
    ("Space", "play or pause"),
    ("← →", "Review: two seconds back or on"),
    ("B", "Review: hide or show the model's answer"),
    ("D", "Review: strength, shares, how good and how awake, comment"),
    ("G", "the guidelines; Esc leaves them"),
    ("?", "show these keys"),
)


def keys_table() -> str:
    """The keys as an HTML table."""
    rows = "".join(f"<tr><th scope='row'><kbd>{key}</kbd></th><td>{meaning}</td></tr>" for key, meaning in KEYS)
    return f'<table class="keys">{rows}</table>'


def keys_dialog() -> str:
    """The help window; the page's script opens it."""
    return (
        '<dialog id="keys-dialog" aria-label="Keys"><h2>Keys</h2>' + keys_table() + "<p>Keys rest while you type in a "
        'field.</p><form method="dialog"><button>Close</button></form></dialog>'
    )
