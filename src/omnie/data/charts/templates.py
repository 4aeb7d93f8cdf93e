"""The wordings of questions about charts, by question and language. The first twelve are trained on, the next four validate,
the last four are held out; nothing else distinguishes them.

`{x}` is a category (with its series, where there are several). `[highest|lowest]` gives the word that fits the question.
"""

import re

import numpy as np

from omnie.data.charts.content import choice
from omnie.data.example import Split

SHARES: dict[Split, slice] = {"train": slice(0, -8), "validation": slice(-8, -4), "heldout": slice(-4, None)}

TEMPLATES: dict[str, tuple[str, ...]] = {
    "title/en": (
        "What is the title?", "What is the title of the chart?", "Which title does the chart have?", "Read the title.",
        "Give the title of this chart.", "What does the heading say?", "Title?", "What is written as the title?",
        "How is this chart titled?", "Please read out the title of the graph.", "What is the chart called?", "Name the title.",
        "State the chart's title.", "What title is shown?", "What is this diagram's title?", "Copy the title.",
        "What is the title of this figure?", "Which heading was given to the chart?", "Tell me the title of the plot.",
        "What is the name of this chart?",
    ),
    "title/de": (
        "Wie lautet der Titel?", "Was ist der Titel des Diagramms?", "Welchen Titel hat das Diagramm?", "Lies den Titel vor.",
        "Nenne den Titel dieser Grafik.", "Wie heißt die Überschrift?", "Titel?", "Was steht als Titel da?",
        "Wie ist das Diagramm überschrieben?", "Bitte gib den Titel der Grafik an.", "Wie heißt das Diagramm?", "Nenne die Überschrift.",
        "Gib den Titel an.", "Welcher Titel steht da?", "Was ist der Titel dieser Abbildung?", "Schreibe den Titel ab.",
        "Wie lautet der Titel der Grafik?", "Welche Überschrift trägt das Diagramm?", "Sag mir den Titel des Schaubilds.",
        "Wie heißt diese Grafik?",
    ),
    "value/en": (
        "What is the value for {x}?", "What is the value of {x}?", "How much is {x}?", "Which value does {x} have?",
        "Read off the value of {x}.", "{x}: which value?", "Give the number for {x}.", "What number belongs to {x}?",
        "How high is {x}?", "Tell me the value shown for {x}.", "Value of {x}?", "What does the chart show for {x}?",
        "State the value for {x}.", "How large is {x}?", "Which number is shown at {x}?", "What is {x} worth in this chart?",
        "What value is plotted for {x}?", "What is the figure for {x}?", "What does {x} come to?", "Which amount is given for {x}?",
    ),
    "value/de": (
        "Wie hoch ist der Wert für {x}?", "Welchen Wert hat {x}?", "Wie groß ist {x}?", "Was ist der Wert von {x}?",
        "Lies den Wert von {x} ab.", "{x}: welcher Wert?", "Nenne die Zahl für {x}.", "Welche Zahl gehört zu {x}?",
        "Wie hoch ist {x}?", "Sag mir den Wert bei {x}.", "Wert von {x}?", "Was zeigt das Diagramm für {x}?",
        "Gib den Wert für {x} an.", "Wie viel ist {x}?", "Welche Zahl steht bei {x}?", "Welchen Wert zeigt die Grafik bei {x}?",
        "Welcher Wert ist für {x} eingetragen?", "Wie lautet der Wert bei {x}?", "Auf welchen Wert kommt {x}?",
        "Wie viel wird für {x} angegeben?",
    ),
    "extreme/en": (
        "Which category has the [highest|lowest] value?", "Which one is the [highest|lowest]?", "Where is the value [largest|smallest]?",
        "What has the [most|least]?", "Name the category with the [highest|lowest] value.", "Which is [largest|smallest]?",
        "Which entry has the [biggest|smallest] value?", "Where is the [maximum|minimum]?", "Which category is [highest|lowest]?",
        "What is the category with the [largest|smallest] number?", "[Highest|Lowest] category?", "Where do we see the [most|least]?",
        "Which category comes [first|last] by value?", "Where is the [peak|lowest point]?", "Which label has the [maximum|minimum] value?",
        "Find the [largest|smallest] category.", "Which category reaches the [highest|lowest] value?",
        "Which one shows the [greatest|smallest] value?", "For which category is the value [highest|lowest]?",
        "What is the [top|bottom] category in this chart?",
    ),
    "extreme/de": (
        "Welche Kategorie hat den [höchsten|niedrigsten] Wert?", "Was ist am [höchsten|niedrigsten]?", "Wo ist der Wert am [größten|kleinsten]?",
        "Was hat am [meisten|wenigsten]?", "Nenne die Kategorie mit dem [höchsten|niedrigsten] Wert.", "Was ist am [größten|kleinsten]?",
        "Welcher Eintrag hat den [größten|kleinsten] Wert?", "Wo liegt das [Maximum|Minimum]?", "Welche Kategorie ist am [höchsten|niedrigsten]?",
        "Welche Kategorie hat die [größte|kleinste] Zahl?", "[Höchste|Niedrigste] Kategorie?", "Wo gibt es am [meisten|wenigsten]?",
        "Welche Kategorie steht nach dem Wert an [erster|letzter] Stelle?", "Wo liegt der [höchste|tiefste] Punkt?",
        "Welche Beschriftung hat den [größten|kleinsten] Wert?", "Finde die [größte|kleinste] Kategorie.",
        "Welche Kategorie erreicht den [höchsten|niedrigsten] Wert?", "Was zeigt den [größten|kleinsten] Wert?",
        "Für welche Kategorie ist der Wert am [höchsten|niedrigsten]?", "Wo ist der Wert in dieser Grafik am [höchsten|niedrigsten]?",
    ),
    "trend/en": (
        "What is the trend?", "How do the values develop?", "Are the values rising, falling, constant or fluctuating?",
        "Which trend does the chart show?", "Describe the trend in one word.", "Do the values go up or down?", "Trend?",
        "How do the numbers change over time?", "Rising, falling, constant or fluctuating?", "Name the trend.", "What direction do the values take?",
        "How does the curve run?", "What is the general trend?", "In which direction do the values move?", "How did the values change?",
        "Is the trend rising or falling?", "What trend can be seen?", "How do the values change from left to right?",
        "What is the overall development: rising, falling, constant or fluctuating?", "Which way does the trend go?",
    ),
    "trend/de": (
        "Wie ist der Trend?", "Wie entwickeln sich die Werte?", "Sind die Werte steigend, fallend, gleichbleibend oder schwankend?",
        "Welchen Trend zeigt das Diagramm?", "Beschreibe den Trend mit einem Wort.", "Gehen die Werte nach oben oder nach unten?", "Trend?",
        "Wie ändern sich die Zahlen mit der Zeit?", "Steigend, fallend, gleichbleibend oder schwankend?", "Nenne den Trend.",
        "Welche Richtung nehmen die Werte?", "Wie verläuft die Kurve?", "Wie ist die allgemeine Tendenz?", "In welche Richtung gehen die Werte?",
        "Wie haben sich die Werte verändert?", "Ist der Trend steigend oder fallend?", "Welcher Trend ist zu sehen?",
        "Wie verändern sich die Werte von links nach rechts?",
        "Wie ist die Entwicklung insgesamt: steigend, fallend, gleichbleibend oder schwankend?", "Wohin geht die Tendenz?",
    ),
    "kind/en": (
        "What kind of chart is this?", "Which type of chart is shown?", "What type of diagram is this?", "Name the chart type.",
        "Is this a bar chart, a line chart, a pie chart or a scatter plot?", "Chart type?", "What sort of graph is it?",
        "Which kind of diagram do you see?", "How is the data drawn?", "What is this graph's type?", "Tell me the kind of chart.",
        "What chart type was used?", "Which chart type is this?", "What form does the chart have?", "Identify the type of graph.",
        "What kind of plot do you see?", "What type of chart is in the picture?", "Which kind of graph is this?", "What sort of chart is shown here?",
        "Which form of diagram was chosen?",
    ),
    "kind/de": (
        "Was für ein Diagramm ist das?", "Welche Art von Diagramm ist zu sehen?", "Welcher Diagrammtyp ist das?", "Nenne die Art des Diagramms.",
        "Ist das ein Balkendiagramm, Liniendiagramm, Kreisdiagramm oder Streudiagramm?", "Diagrammtyp?", "Was für eine Grafik ist das?",
        "Welche Diagrammart siehst du?", "Wie sind die Daten dargestellt?", "Von welchem Typ ist die Grafik?", "Sag mir die Art der Grafik.",
        "Welcher Diagrammtyp wurde verwendet?", "Welche Diagrammart ist das?", "Welche Form hat das Diagramm?", "Bestimme den Typ der Grafik.",
        "Was für ein Schaubild siehst du?", "Welche Art von Diagramm zeigt das Bild?", "Um welche Diagrammart handelt es sich?",
        "Was für ein Diagramm wird hier gezeigt?", "Welche Form der Darstellung wurde gewählt?",
    ),
    "describe/en": (
        "What does this chart show?", "Describe the chart.", "What can you see in this graph?", "Summarise the chart in one sentence.",
        "Explain this chart briefly.", "What is shown here?", "Describe this diagram in one sentence.", "What is this chart about?",
        "Give a short description of the chart.", "What does the graph tell us?", "Describe the graph.", "Sum up this figure.",
        "What is in this chart?", "Describe the figure briefly.", "What does the diagram show?", "Say in one sentence what the chart shows.",
        "What do you see in this chart?", "Give a one-sentence summary of this graph.", "What does this figure show?", "Briefly describe what is plotted.",
    ),
    "describe/de": (
        "Was zeigt diese Grafik?", "Beschreibe das Diagramm.", "Was ist in dieser Grafik zu sehen?", "Fasse das Diagramm in einem Satz zusammen.",
        "Erkläre dieses Diagramm kurz.", "Was ist hier zu sehen?", "Beschreibe diese Grafik in einem Satz.", "Worum geht es in diesem Diagramm?",
        "Gib eine kurze Beschreibung des Diagramms.", "Was sagt die Grafik aus?", "Beschreibe die Grafik.", "Fasse diese Abbildung zusammen.",
        "Was ist in diesem Diagramm?", "Beschreibe die Abbildung kurz.", "Was zeigt das Diagramm?", "Sag in einem Satz, was das Diagramm zeigt.",
        "Was siehst du in diesem Diagramm?", "Fasse die Grafik mit einem Satz zusammen.", "Was zeigt diese Abbildung?", "Beschreibe kurz, was dargestellt ist.",
    ),
    "count/en": (
        "How many categories are there?", "How many categories does the chart have?", "Count the categories.", "How many different categories are shown?",
        "Number of categories?", "What is the number of categories?", "How many categories can you see?", "Give the number of categories.",
        "How many categories appear in the chart?", "Into how many categories is the chart divided?", "Tell me how many categories there are.",
        "Please count the categories.", "How many categories does this graph contain?", "State the number of categories.",
        "How many categories were drawn?", "The chart has how many categories?", "How many categories are in this chart?",
        "What is the total number of categories?", "How many categories does the figure show?", "Can you count the categories?",
    ),
    "count/de": (
        "Wie viele Kategorien gibt es?", "Wie viele Kategorien hat das Diagramm?", "Zähle die Kategorien.", "Wie viele verschiedene Kategorien sind zu sehen?",
        "Anzahl der Kategorien?", "Was ist die Anzahl der Kategorien?", "Wie viele Kategorien siehst du?", "Nenne die Anzahl der Kategorien.",
        "Wie viele Kategorien kommen im Diagramm vor?", "In wie viele Kategorien ist das Diagramm geteilt?", "Sag mir, wie viele Kategorien es gibt.",
        "Bitte zähle die Kategorien.", "Wie viele Kategorien enthält diese Grafik?", "Gib die Anzahl der Kategorien an.",
        "Wie viele Kategorien wurden gezeichnet?", "Das Diagramm hat wie viele Kategorien?", "Wie viele Kategorien sind in diesem Diagramm?",
        "Wie groß ist die Anzahl der Kategorien?", "Wie viele Kategorien zeigt die Abbildung?", "Kannst du die Kategorien zählen?",
    ),
    "address": ("{c} ({s})", "{s}, {c}", "{c}, {s}", "{s} ({c})", "{s}: {c}", "{c} / {s}", "{s} / {c}", "{c}: {s}", "{s} - {c}", "{c} - {s}",
                "{c} and {s}", "{s} and {c}"),
    "within": ("{s}: {q}", "{q} ({s})", "[{s}] {q}", "Series {s}: {q}", "{q} ({s}!)", "{s} - {q}", "Only {s}: {q}", "{q} Series: {s}.",
               "{s} / {q}", "{s} only. {q}"),
}  # fmt: skip


def pick(rng: np.random.Generator, split: Split, name: str, **fields: str) -> tuple[str, str]:
    """A wording of the split and its family name ("value/de/3").

    Args:
        fields: What replaces `{...}`; a field `second` chooses the second word of every `[first|second]`.
    """
    every = TEMPLATES[name]
    template = choice(rng, every[SHARES[split]])
    word = 2 if fields.pop("second", "") else 1
    chosen = re.sub(r"\[([^|\]]+)\|([^\]]+)\]", lambda match: match[word], template)
    return chosen.format(**fields), f"{name}/{every.index(template)}"
