"""Names, things and values for text tasks, and who owns them. No sentences here; word lists for drawing lines are elsewhere.

Ownership: `owner(key)` hashes a string to one split (70 % train, 10 % validation, 20 % held-out), so a name that a held-out
example uses never stood in a training example. Closed sets (weekdays, months, colours, the sky) are shared by all splits:
they are words of the language, not things to learn by heart.
"""

import zlib
from collections.abc import Sequence
from functools import cache
from typing import TypeVar

import numpy as np

from omnie.data.example import Split

T = TypeVar("T")
LANGUAGES = ("en", "de")

FEMALE = (
    "Anna Laura Sophie Marie Lena Julia Sarah Nina Clara Eva Hannah Lea Mia Emma Greta Ida Frieda Helga Ingrid Karin Petra "
    "Sabine Monika Ursula Heike Birgit Katrin Silke Tanja Vera Alice Amy Beth Carol Diana Ellen Fiona Grace Holly Irene Jane "
    "Kate Linda Megan Nora Olivia Paula Rachel Susan Tara Wendy Zoe Aylin Fatma Leyla Mei Priya Yuki Ines Lucia Chiara"
).split()
MALE = (
    "Paul Max Felix Jonas Lukas Leon Tim Ben Finn Noah Karl Otto Emil Anton Hans Peter Klaus Jürgen Uwe Dieter Wolfgang Stefan "
    "Michael Thomas Andreas Markus Jens Sven Dirk Ralf Adam Brian Colin David Edward Frank George Henry Ian Jack Kevin Liam "
    "Mark Nathan Oscar Philip Robert Simon Tom Victor Walter Ali Omar Mehmet Hiro Raj Carlos Diego Marco Luca Pierre"
).split()
LAST = (
    "Keller Schmidt Weber Fischer Wagner Becker Hoffmann Koch Richter Klein Wolf Schröder Neumann Zimmermann Braun Krüger Hartmann "
    "Lange Werner Krause Lehmann Maier Köhler Huber Fuchs Vogel Jansen Peters Lorenz Seidel Brandt Busch Kuhn Arnold Pohl "
    "Winkler Sommer Haas Graf Voigt Smith Jones Taylor Brown Wilson Evans Thomas Roberts Walker Wright Hughes Green Hall Wood "
    "Clarke Harris Lewis Turner Cooper Ward Baker Bell Shaw Mills Grant Reed Fox Stone Marsh Hunt Yilmaz Demir Rossi Novak "
    "Kowalski Petrov Silva Costa Garcia Lopez Nguyen Tanaka Singh Patel Chen Wang Okafor Larsen Nilsson Virtanen"
).split()
CITIES = (
    "Berlin Hamburg Köln Bremen Dresden Leipzig Mainz Kiel Ulm Bonn Essen Kassel Erfurt Rostock Lübeck Trier Jena Gera Halle "
    "Potsdam Münster Aachen Freiburg Augsburg Regensburg Passau Bamberg Würzburg Göttingen Hannover Wien Graz Linz Salzburg Zürich "
    "Basel Bern Luzern London Leeds York Bath Oxford Bristol Dover Derby Exeter Glasgow Cardiff Dublin Cork Galway Paris Lyon Nantes "
    "Madrid Porto Lisbon Rome Milan Turin Oslo Bergen Malmö Turku Tallinn Riga Vilnius Prague Brno Warsaw Gdansk Boston Denver Austin "
    "Chicago Seattle Dallas Toronto Sydney Perth Osaka Kyoto Nairobi Lagos Lima Quito"
).split()
ONSETS = "b br d dr f fl g gr h j k kl kr l m n p pr r s sch sl st t tr v w z th qu ch".split()
VOWELS = "a e i o u a e i o u ai au ei ie oo ä ö".split()
CODAS = ["", "", "", "l", "n", "r", "s", "t", "m", "k", "nd", "rt", "x", "ck", "ng", "lm"]
ENDINGS = {
    "person": ["", "a", "o", "in", "er", "mann", "son", "ek", "ov", "sen"],
    "company": ["", "a", "on", "ex", "tec", "soft", "werk", "ia", "um", "lab"],
    "city": ["", "burg", "stadt", "heim", "ton", "ford", "dorf", "au", "ham", "ville"],
    "product": ["", "o", "ex", "fix", "ix", "ette", "on", "ino", "max", "ra"],
}
COMPANY_FORMS = {"en": ["Ltd", "Inc", "& Sons", "Group", "Works", "", ""], "de": ["GmbH", "AG", "KG", "& Co", "OHG", "", ""]}

JOBS_EN = (
    "baker teacher nurse plumber lawyer pilot cook engineer doctor painter farmer librarian carpenter dentist driver editor "
    "florist gardener tailor waiter butcher chemist designer electrician journalist mechanic musician optician photographer "
    "postman programmer roofer sailor translator accountant architect barber cashier clerk judge"
).split()
JOBS_DE = (
    "Bäcker Lehrer Krankenpfleger Klempner Anwalt/Anwältin Pilot Koch/Köchin Ingenieur Arzt/Ärztin Maler Landwirt "
    "Bibliothekar Schreiner Zahntechniker Fahrer Redakteur Florist Gärtner Schneider Kellner Metzger Chemiker Designer Elektriker "
    "Journalist Mechaniker Musiker Optiker Fotograf Postbote/Postbotin Programmierer Dachdecker Übersetzer Buchhalter Architekt Friseur "
    "Kassierer Richter Förster Apotheker"
).split()
HOBBIES = {
    "en": "chess tennis painting swimming hiking fishing cycling cooking dancing rowing judo sailing reading knitting skiing boxing "
    "climbing gardening running yoga singing pottery archery golf".split(),
    "de": "Schach Tennis Malen Schwimmen Wandern Angeln Radfahren Kochen Tanzen Rudern Judo Segeln Lesen Stricken Skifahren Boxen "
    "Klettern Gärtnern Laufen Yoga Singen Töpfern Turnen Golf".split(),
}
PRODUCTS_EN = (
    "lamp chair table kettle toaster bicycle tent jacket umbrella mirror carpet shelf fan drill ladder pillow blanket camera printer "
    "keyboard monitor speaker clock radio heater mixer pan knife backpack wallet sofa desk scooter helmet guitar piano vase basket "
    "bucket hammer saw mug bottle torch phone tablet router scarf belt hat"
).split()
PRODUCTS_DE = (
    "Lampe/f Stuhl/m Tisch/m Toaster/m Fahrrad/n Zelt/n Jacke/f Regenschirm/m Spiegel/m Teppich/m Regal/n Ventilator/m "
    "Bohrer/m Leiter/f Kissen/n Decke/f Kamera/f Drucker/m Tastatur/f Bildschirm/m Lautsprecher/m Uhr/f Radio/n Heizung/f Mixer/m "
    "Pfanne/f Messer/n Rucksack/m Sofa/n Roller/m Helm/m Gitarre/f Klavier/n Vase/f Korb/m Eimer/m Hammer/m Säge/f Tasse/f Flasche/f "
    "Handy/n Tablet/n Router/m Schal/m Gürtel/m Hut/m Schreibtisch/m Waage/f Kocher/m Bett/n"
).split()
TOPICS = {
    "en": "budget meeting|sales review|design workshop|safety briefing|project kickoff|staff meeting|marketing call|product demo|"
    "planning session|quality review|press briefing|board meeting|training course|customer call|team lunch|job interview|"
    "data review|fire drill|strategy talk|supplier meeting".split("|"),
    "de": "Budgetrunde/f|Vertriebstreffen/n|Designworkshop/m|Teamsitzung/f|Projektstart/m|Produktvorführung/f|Planungsrunde/f|"
    "Pressegespräch/n|Vorstandssitzung/f|Schulung/f|Kundengespräch/n|Vorstellungsgespräch/n|Qualitätsprüfung/f|Strategiegespräch/n|"
    "Lieferantentreffen/n|Betriebsversammlung/f|Einweisung/f|Wochenbesprechung/f|Marketingrunde/f|Brandschutzübung/f".split("|"),
}
EVENTS = {
    "en": "jazz festival|book fair|city marathon|flower show|film night|chess cup|wine market|science day|summer fair|choir concert|"
    "rock concert|art auction|car show|food market|boat race|poetry night|street party|toy fair|garden show|folk dance".split("|"),
    "de": "Jazzfest/n|Buchmesse/f|Stadtlauf/m|Blumenschau/f|Filmabend/m|Schachturnier/n|Weinmarkt/m|Sommerfest/n|Chorkonzert/n|"
    "Rockkonzert/n|Kunstauktion/f|Autoschau/f|Wochenmarkt/m|Bootsrennen/n|Lesung/f|Straßenfest/n|Spielzeugmesse/f|Gartenschau/f|"
    "Tanzabend/m|Flohmarkt/m".split("|"),
}
GOODS = {
    "en": "books tiles shoes windows bricks apples flowers screws cables tyres pipes lamps boxes bottles chairs cartridges doors "
    "seeds blankets magnets batteries helmets posters carpets".split(),
    "de": "Bücher Fliesen Schuhe Fenster Ziegel Äpfel Blumen Schrauben Kabel Reifen Rohre Lampen Kartons Flaschen Stühle Patronen "
    "Türen Samen Decken Magnete Batterien Helme Plakate Teppiche".split(),
}
VENUES = {
    "en": "town hall|old harbour|central park|city library|market square|school gym|north stadium|river stage|castle yard|"
    "grand theatre|south pier|botanical garden|church hall|train museum|open-air pool|exhibition hall".split("|"),
    "de": "Rathaus|Stadtpark|Marktplatz|Stadttheater|Schlosshof|Kulturhaus|Nordstadion|Bürgerhaus|Hafenbecken|Museum|Gemeindesaal|"
    "Schulhof|Freibad|Kurhaus|Zirkuszelt|Messegelände".split("|"),
}
COLOURS = {
    "en": "red blue green yellow black white grey brown orange purple pink silver".split(),
    "de": "rot blau grün gelb schwarz weiß grau braun orange lila rosa silbern".split(),
}
SKIES = {
    "en": "sunny cloudy rainy foggy stormy snowy windy clear overcast misty".split(),
    "de": "sonnig bewölkt regnerisch neblig stürmisch heiter windig klar trüb bedeckt".split(),
}
WEEKDAYS = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "de": "Montag Dienstag Mittwoch Donnerstag Freitag Samstag Sonntag".split(),
}
MONTHS = {
    "en": "January February March April May June July August September October November December".split(),
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember".split(),
}


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One of `items`, uniformly."""
    return items[int(rng.integers(len(items)))]


@cache
def owner(key: str) -> Split:
    """The split that owns `key`: a stable hash, 70 % train, 10 % validation, 20 % held-out."""
    place = zlib.crc32(key.casefold().encode()) % 1000
    return "train" if place < 700 else "validation" if place < 800 else "heldout"


@cache
def owned(words: tuple[str, ...], split: Split) -> tuple[str, ...]:
    """The words that `split` owns (never empty: a list must be long enough, and the tests look)."""
    return tuple(word for word in words if owner(word) == split)


def pick_owned(rng: np.random.Generator, words: Sequence[str], split: Split) -> str:
    """One of the words that `split` owns."""
    return pick(rng, owned(tuple(words), split))


def invented(rng: np.random.Generator, split: Split, kind: str = "person") -> str:
    """A capitalised word that does not exist, owned by `split` ("Krelmann", "Tobau")."""
    while True:
        syllables = int(rng.integers(1, 3))
        stem = "".join(pick(rng, ONSETS) + pick(rng, VOWELS) + pick(rng, CODAS) for _ in range(syllables))
        word = (stem + pick(rng, ENDINGS[kind])).capitalize()
        if 4 <= len(word) <= 12 and owner(word) == split:
            return word
