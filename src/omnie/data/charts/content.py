"""The words and numbers of charts: topics, category names, titles, value shapes. No pixels and no questions here."""

import functools
from dataclasses import dataclass

import numpy as np

from omnie.data import words

RESERVED_TITLES = frozenset({"Umsatz 2024", "Quarterly revenue 2024", "Besucher der Bibliothek"})
"""Titles of the files in `examples/`: no chart that is drawn here ever carries one of them."""

ORDERED: dict[str, dict[str, tuple[str, ...]]] = {
    "de": {
        "month": ("Jan", "Feb", "Mär", "Apr", "Mai", "Jun", "Jul", "Aug", "Sep", "Okt", "Nov", "Dez"),
        "long month": ("Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober"),
        "quarter": ("Q1", "Q2", "Q3", "Q4"),
        "weekday": ("Mo", "Di", "Mi", "Do", "Fr", "Sa", "So"),
        "long weekday": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag"),
        "week": tuple(f"KW {n}" for n in range(1, 53)),
        "day": tuple(f"Tag {n}" for n in range(1, 15)),
        "hour": tuple(f"{n} Uhr" for n in range(6, 23)),
    },
    "en": {
        "month": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
        "long month": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October"),
        "quarter": ("Q1", "Q2", "Q3", "Q4"),
        "weekday": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
        "long weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"),
        "week": tuple(f"Week {n}" for n in range(1, 53)),
        "day": tuple(f"Day {n}" for n in range(1, 15)),
        "hour": tuple(f"{n}:00" for n in range(6, 23)),
    },
}

NAMES: dict[str, dict[str, str]] = {
    "de": {
        "fruit": "Äpfel Birnen Kirschen Pflaumen Trauben Bananen Orangen Zitronen Beeren Melonen Kiwis Feigen Nüsse",
        "food": "Brot Milch Käse Butter Reis Nudeln Fleisch Fisch Eier Tee Kaffee Zucker Honig Salz Wein Bier Saft Kuchen",
        "city": "Berlin Hamburg München Köln Bonn Ulm Mainz Kiel Jena Essen Bremen Dresden Leipzig Wien Graz Linz Basel Zürich",
        "country": "Italien Spanien Polen China Indien Japan Kanada Chile Peru Ungarn Norwegen Irland Kuba Ägypten Kenia",
        "energy": "Wind Solar Kohle Gas Wasser Öl Biomasse Atom Erdwärme Holz",
        "transport": "Auto Bus Bahn Rad Fuß Flug Tram Schiff Taxi Roller",
        "sport": "Fußball Tennis Handball Golf Judo Rudern Boxen Schach Hockey Turnen Segeln Yoga",
        "person": "Anna Ben Clara David Emma Felix Greta Hanna Ida Jan Karl Lena Max Nora Otto Paul Rosa Tim Ute Lukas Marie",
        "animal": "Hund Katze Pferd Kuh Schaf Huhn Ente Fuchs Igel Bär Wolf Maus Biene Hase",
        "department": "Verkauf Einkauf Technik Lager Personal Recht Werbung Service Labor Küche Leitung Planung",
        "budget": "Miete Essen Reisen Kleidung Strom Sparen Freizeit Sonstige Bildung Steuern Telefon Geschenke",
        "color": "Rot Blau Grün Gelb Weiß Schwarz Grau Braun Rosa Lila",
        "subject": "Mathe Deutsch Kunst Musik Physik Chemie Sport Latein Englisch Biologie",
        "answer": "Ja Nein Vielleicht Immer Selten Nie Oft Enthaltung",
    },
    "en": {
        "fruit": "Apples Pears Cherries Plums Grapes Bananas Oranges Lemons Berries Melons Kiwis Figs Nuts",
        "food": "Bread Milk Cheese Butter Rice Pasta Meat Fish Eggs Tea Coffee Sugar Honey Salt Wine Beer Juice Cake Soup",
        "city": "London Paris Rome Madrid Oslo Dublin Boston Dallas Denver Miami Tokyo Delhi Cairo Lima Leeds York Austin",
        "country": "Italy Spain Poland China India Japan Canada Chile Peru Hungary Norway Ireland Cuba Egypt Kenya Brazil",
        "energy": "Wind Solar Coal Gas Hydro Oil Biomass Nuclear Thermal Wood",
        "transport": "Car Bus Train Bike Walk Plane Tram Ship Taxi Scooter Ferry",
        "sport": "Soccer Tennis Handball Golf Judo Rowing Boxing Chess Hockey Rugby Sailing Yoga",
        "person": "Alice Bob Carol David Emma Frank Grace Henry Ivy Jack Kate Liam Mia Noah Olga Peter Ruth Sam Tom Zoe",
        "animal": "Dog Cat Horse Cow Sheep Hen Duck Fox Hedgehog Bear Wolf Mouse Bee Rabbit",
        "department": "Sales Finance Support Legal Design Research Staff Stock Press Service Lab Kitchen",
        "budget": "Rent Food Travel Clothes Power Savings Leisure Other School Taxes Phone Gifts",
        "color": "Red Blue Green Yellow White Black Grey Brown Pink Purple",
        "subject": "Maths English Art Music Physics Chemistry Sport Latin History Biology",
        "answer": "Yes No Maybe Always Rarely Never Often Abstain",
    },
}

GROUP_WORDS = {
    "de": ("Gruppe", "Team", "Werk", "Typ", "Zone", "Modell"),
    "en": ("Group", "Team", "Plant", "Type", "Zone", "Model"),
}

TOPICS: dict[str, str] = {
    "de": "Umsatz Gewinn Besucher Temperatur Niederschlag Verkäufe Mitglieder Energieverbrauch Preise Einwohner "
    "Bewertung Punkte Anmeldungen Kosten Ausgaben Einnahmen Bestellungen Geburten Unfälle Produktion Ernte Gäste "
    "Übernachtungen Downloads Anrufe Wasserstand Stromverbrauch Gehalt Schüler Studierende Fahrgäste Leser "
    "Spenden Exporte Importe Lagerbestand Wartezeit Fehlerrate Geschwindigkeit Gewicht Höhe Entfernung Leistung "
    "Nachfrage Arbeitsstunden Krankentage Zufriedenheit Beiträge Rücksendungen Kunden Wachstum Luftdruck "
    "Lautstärke Regen Schnee Umfrage Stimmen",
    "en": "Sales Profit Visitors Temperature Rainfall Revenue Members Consumption Prices Population Ratings Scores "
    "Sign-ups Costs Expenses Income Orders Births Accidents Production Harvest Guests Nights Downloads Calls "
    "Traffic Salary Pupils Students Passengers Readers Donations Exports Imports Inventory Latency Errors Speed "
    "Weight Height Distance Output Demand Hours Absences Satisfaction Posts Returns Customers Growth Pressure "
    "Noise Snowfall Survey Votes Budget Usage",
}

TITLE_PATTERNS: dict[str, str] = {
    "de": "{t}|{t} {y}|{t} in {c}|{t} pro {k}|{t} nach {k}|{t} und {t2}|{t} im Jahr {y}|{t} seit {y}|{c}: {t}|"
    "{t}, {c} {y}|{w} {t}|{t} im Vergleich|Anzahl {t}|{t} ({y})|{k} und {t}|{t} {y} in {c}|{t}: {w}|Bericht {n}: {t}|"
    "{t} {y}/{y1}|{w} in {c}|{w} und {w2}|{t} bei {p}|Übersicht {w}|Abb. {n}: {t}",
    "en": "{t}|{t} {y}|{t} in {c}|{t} per {k}|{t} by {k}|{t} and {t2}|{t} in {y}|{t} since {y}|{c}: {t}|{t}, {c} {y}|{w} {t}|"
    "{t} compared|Number of {t}|{t} ({y})|{k} and {t}|{t} {y} in {c}|{t}: {w}|Report {n}: {t}|{t} {y}/{y1}|{w} in {c}|"
    "{w} and {w2}|{t} of {p}|Overview {w}|Fig. {n}: {t}",
}

KINDS_OF = {
    "de": ("Monat", "Region", "Jahr", "Stadt", "Land", "Woche", "Abteilung", "Person", "Produkt", "Tag", "Quartal", "Filiale"),
    "en": ("month", "region", "year", "city", "country", "week", "team", "person", "product", "day", "quarter", "branch"),
}

UNITS = ("€", "$", "kg", "t", "km", "m", "mm", "h", "min", "s", "°C", "kWh", "MWh", "l", "ha", "GB", "ms", "dB", "Pa")
COUNT_UNITS = {
    "de": ("Anzahl", "Stück", "Tsd. €", "Mio. €", "Wert", "Punkte"),
    "en": ("Count", "Units", "thousand $", "million $", "Value", "Points"),
}


@dataclass(frozen=True)
class Categories:
    """Category names in their order; `ordered` when they lie on a time axis, so that a trend makes sense."""

    names: tuple[str, ...]
    ordered: bool
    axis: str


def choice(rng: np.random.Generator, items):
    """One of `items`, uniformly; unlike `Generator.choice` it keeps Python types and costs a microsecond."""
    return items[int(rng.integers(len(items)))]


def some(rng: np.random.Generator, items, n: int) -> list:
    """`n` different entries of `items`, in random order."""
    return [items[i] for i in rng.permutation(len(items))[:n]]


def _years(rng: np.random.Generator, n: int) -> tuple[str, ...]:
    step = int(choice(rng, (1, 1, 1, 1, 2, 5, 10)))
    start = int(rng.integers(1950, 2031 - n * step))
    return tuple(str(start + i * step) for i in range(n))


def ordered(rng: np.random.Generator, language: str, n: int) -> Categories:
    """`n` consecutive names on a time axis."""
    if rng.random() < 0.35:
        return Categories(_years(rng, n), True, "Jahr" if language == "de" else "Year")
    pools = [pool for pool in ORDERED[language].values() if len(pool) >= n]
    pool = choice(rng, pools)
    first = int(rng.integers(len(pool) - n + 1))
    return Categories(pool[first : first + n], True, choice(rng, KINDS_OF[language]).capitalize())


def unordered(rng: np.random.Generator, language: str, n: int) -> Categories:
    """`n` different names without an order."""
    draw = rng.random()
    if draw < 0.08:
        names = [f"{choice(rng, GROUP_WORDS[language])} {letter}" for letter in "ABCDEFGH"[:n]]
        names = [f"{names[0].split()[0]} {name.split()[1]}" for name in names]
    elif draw < 0.13:
        names = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(first := int(rng.integers(20))) : first + n])
    elif draw < 0.25:
        names = some(rng, _every_name(language), n)
    elif draw < 0.4:
        names = _unfamiliar(rng, language, n)
    else:
        names = some(rng, choice(rng, list(NAMES[language].values())).split(), n)
    return Categories(tuple(names), False, choice(rng, KINDS_OF[language]).capitalize())


@functools.cache
def _every_name(language: str) -> tuple[str, ...]:
    return tuple(sorted({word for names in NAMES[language].values() for word in names.split()}))


def _unfamiliar(rng: np.random.Generator, language: str, n: int) -> list[str]:
    """Different short names: products, surnames, places, or words that no list holds."""
    kind = choice(rng, ("products", "surnames", "cities", "countries", "names", "nouns", ""))
    found: dict[str, None] = {}
    while len(found) < n:
        name = (words.word(rng, language, kind) if kind else words.made_up(rng)).capitalize()
        if len(name) < 12 and name.casefold() not in map(str.casefold, found):
            found[name] = None
    return list(found)


def title(rng: np.random.Generator, language: str) -> str:
    """A title of one to about six words; never a reserved one."""
    draw = rng.random()
    made = words.title(rng, language) if draw < 0.45 else _words(rng, language) if draw < 0.57 else _pattern(rng, language)
    return title(rng, language) if made in RESERVED_TITLES or len(made) > 38 else made


def _words(rng: np.random.Generator, language: str) -> str:
    """Words that do not follow from one another, so that a title is read and not guessed."""
    text = words.phrase(rng, language, int(rng.integers(1, 4)))
    return text[0].upper() + text[1:]


def _pattern(rng: np.random.Generator, language: str) -> str:
    topics, kinds = TOPICS[language].split(), KINDS_OF[language]
    year = int(rng.integers(1980, 2036))
    pools = list(NAMES[language].values())
    fields = {
        "t": choice(rng, topics), "t2": choice(rng, topics), "y": year, "y1": (year + 1) % 100, "k": choice(rng, kinds),
        "c": choice(rng, NAMES[language]["city"].split()), "p": choice(rng, NAMES[language]["person"].split()),
        "w": choice(rng, choice(rng, pools).split()), "w2": choice(rng, choice(rng, pools).split()),
        "n": int(rng.integers(1, 30)),
    }  # fmt: skip
    return choice(rng, TITLE_PATTERNS[language].split("|")).format(**fields)


SHAPES = ("rising", "falling", "constant", "fluctuating")


def shape(rng: np.random.Generator, kind: str, n: int) -> np.ndarray:
    """`n` numbers in 0..1 that clearly show `kind` ('random' shows anything)."""
    if kind == "constant":
        return np.full(n, rng.uniform(0.35, 0.9)) + rng.uniform(-0.005, 0.005, n)
    if kind == "fluctuating":
        zigzag = (np.arange(n) + int(rng.integers(2))) % 2 * rng.uniform(0.4, 0.7)
        return np.clip(zigzag + rng.uniform(0.05, 0.3, n), 0.03, 1)
    if kind in ("rising", "falling"):
        low, high = rng.uniform(0.05, 0.4), rng.uniform(0.7, 1.0)
        steps = rng.uniform(0.3, 1.0, n - 1)
        rise = np.concatenate([[0.0], np.cumsum(steps) / steps.sum()])
        return (low + (high - low) * rise)[:: 1 if kind == "rising" else -1]
    return rng.uniform(0.08, 1.0, n)
