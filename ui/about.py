"""The last tab: what this is, its limits, what is stored and how to withdraw, the keys."""

import gradio as gr

from ui.keys import keys_table

ABOUT = """
<article class="about">
<section><h3>What this is</h3>
<p>Speech goes in; a transcript and the probabilities of seven emotions come out. People correct them, the corrections
retrain the model, and a better model replaces the old one. Two listeners give the answer: one hears the <em>sound</em>,
one reads the <em>words</em>; the words count less the less sure the transcript is.</p></section>
<section><h3>What it cannot do</h3>
<ul>
<li>It hears how a voice <em>sounds</em>, not what a person <em>feels</em>. Neither does anybody else: people who only hear
a voice agree with the emotion an actor meant in about 41 of 100 clips.</li>
<li>The embedded model learnt from actors, few speakers and few languages. Spontaneous speech, children, accents, illness,
noise and bad microphones make it worse.</li>
<li>A percentage is how often the model is right when it says so on voices like those it was tested on, no more.</li>
<li>It must not decide about people: not in hiring, school, police, border, insurance or medicine, nor to watch
anybody. In the European Union, inferring emotions at work and in education is forbidden (AI Act, article 5).</li>
<li>The embedded weights are for non-commercial use, as are the recordings they learnt from.</li>
</ul></section>
<section><h3>What is stored</h3>
<ul>
<li><strong>Without your consent: nothing.</strong> Your clip is heard in memory; the uploaded file is deleted when you
clear it, replace it, save it or close the page.</li>
<li>With your consent: the recording, the model's answer, the vote, the transcript, the intensity, the name you gave, the
speaker's name if you gave one, the time, and what you allowed it for.</li>
<li><em>Research</em>: to study it here. <em>Training</em>: to teach the model. <em>Publication</em>: to be part of a data
set that others can get.</li>
<li>The name is a pseudonym kept in your browser unless you log in or change it.</li>
<li>It is kept until it is withdrawn. To withdraw, take your vote back under History and tell whoever runs this page
the clip's number, which was shown when you saved it.</li>
</ul></section>
<section><h3>Keys</h3>{keys}<p class="quiet">Keys rest while you type in a field.</p></section>
<section><h3>From a program</h3>
<p>Every function is an endpoint, described under <em>API</em> at the foot of the page:
<code>/recognize</code>, <code>/correct</code>, <code>/next_clip</code>, <code>/retrain</code>,
<code>/training_status</code>.</p></section>
</article>
"""


def about_html() -> str:
    """The text of the tab."""
    return ABOUT.replace("{keys}", keys_table())


def build_about_tab() -> None:
    """Lay out the tab; it has no events."""
    gr.HTML(about_html(), elem_id="about", elem_classes="panel", apply_default_css=False)
