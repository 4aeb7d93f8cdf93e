"""The sentence patterns of each split. A pattern belongs to one split; the words that fill it are in `vocabulary.py`."""

from omnie.data.example import Split
from omnie.data.words import Language

EN: dict[Split, tuple[str, ...]] = {
    "train": (
        "the {thing} is {adj}", "the {colour} {thing} is {place}", "please {order} the {thing}", "i need {few} {things}",
        "my {thing} {trouble}", "can you {order} my {thing}", "{name} is {place}", "{name} wants to {order} a {thing}",
        "we meet at {time}", "the meeting is on {day} at {time}", "it costs {number} euros",
        "where is the {colour} {thing}", "when does the {shop} open", "turn on the {device}",
        "please turn off the {device}", "my number is {digit} {digit} {digit} {digit}", "{name} {live} {place}",
        "the {animal} {live} {place}", "thank you for the {adj} {thing}", "i am {feeling} {when}",
        "there are {number} {things} {place}", "the weather is {weather} today", "do not {order} the {thing}",
        "call {name} {soon}", "{name} {go} {where_to}", "i would like some {food} and {food}", "{polite} {name}",
        "the {ordinal} {thing} was {adj}", "my {family} {have} a {colour} {thing}", "{name} {have} {few} {things}",
        "is the {thing} {adj} or {adj}", "we {do} the {thing} {soon}", "today is {day} the {ordinal} of {month}",
        "the {shop} is closed {soon}", "my {body} hurts", "{name} {often} {go} {where_to}",
        "the {animal} and the {animal} are {place}", "why is the {thing} so {adj}", "i {do} the {colour} {thing}",
        "the train to {city} leaves at {time}", "{word} {word}", "{word} {word} {word}",
        "{little} {word} {little} {word}", "{little} {little} {word}", "{word} {word} {word} {word} {word}",
        "{word} {word} {word} {word}", "{word} {digit} {word} {colour} {word}", "the number is {hundreds}",
        "{number} {things}", "{polite} i need a {adj} {thing}", "they sell {food} {place}",
        "{name} and my {family} are {feeling}", "the {food} is too {adj}", "give me the {thing} and the {thing}",
        "it is {time}", "see you {soon}",
    ),
    "validation": (
        "did you {order} the {thing}", "the {thing} costs {number} euros", "{name} will {order} the {thing} {soon}",
        "our {shop} opens at {time}", "your {thing} is {place}", "i like {food} with {food}",
    ),
    "heldout": (
        "where did you see my {thing}", "the {family} {have} {few} {adj} {things}", "{polite} the {thing} {trouble}",
        "{few} {things} are {place}", "i must {order} a {colour} {thing} {soon}", "{name} does not like {food}",
        "on {day} my {family} {go} {where_to}", "this {thing} is {adj} and {adj}", "the {device} is {place}",
        "who wants {few} {things}", "in {month} it is {weather} in {city}", "the {animal} is {often} {feeling}",
    ),
}  # fmt: skip

DE: dict[Split, tuple[str, ...]] = {
    "train": (
        "{nom} ist {adj}", "{nom} ist {colour}", "{nom} steht {place}", "bitte {acc} {order}",
        "ich brauche {few} {things}", "{my} {trouble}", "können sie {acc} {order}", "{name} ist {place}",
        "{name} will {some} {order}", "wir treffen uns um {time}", "der termin ist am {day} um {time}",
        "es kostet {number} euro", "wo ist {nom}", "wann öffnet {shop}", "mach {device} an",
        "bitte {device} ausschalten", "meine nummer ist {digit} {digit} {digit} {digit}", "{name} {live} {place}",
        "vielen dank für {acc}", "ich bin {when} {feeling}", "{place} sind {number} {things}",
        "das wetter ist heute {weather}", "nicht {acc} {order}", "ruf {name} {soon} an", "{name} {go} {where_to}",
        "ich möchte {food} und {food}", "{polite} {name}", "{family} {have} {some}", "{name} {have} {few} {things}",
        "ist {nom} {adj} oder {adj}", "wir wollen {soon} {acc} {order}", "heute ist {day} der {ordinal} {month}",
        "{shop} ist {soon} geschlossen", "{body} tut weh", "{name} {go} {often} {where_to}",
        "{nom} und {nom} sind {place}", "warum ist {nom} so {adj}", "ich sehe {mine}",
        "der zug nach {city} fährt um {time}", "{word} {word}", "{word} {word} {word}",
        "{little} {word} {little} {word}", "{little} {little} {word}", "{word} {word} {word} {word} {word}",
        "{word} {word} {word} {word}", "{word} {digit} {word} {colour} {word}", "die nummer ist {hundreds}",
        "{number} {things}", "{polite} ich brauche {some}", "es gibt {food} {place}",
        "{name} und {family} sind {feeling}", "{food} ist zu {adj}", "gib mir {acc} und {acc}", "es ist {time}",
        "wir sehen uns {soon}", "das gehört zu {dat}",
    ),
    "validation": (
        "haben sie {acc} gesehen", "{nom} kostet {number} euro", "{name} muss {soon} {acc} {order}",
        "{shop} öffnet um {time}", "{this} ist {place}", "ich mag {food} mit {food}",
    ),
    "heldout": (
        "wer hat {mine} gesehen", "{place} {live} {family}", "{polite} {my} {trouble}", "{few} {things} sind {place}",
        "ich muss {soon} {some} {order}", "{when} kauft {name} {food}", "am {day} {go} {family} {where_to}",
        "{this} ist {adj} und {adj}", "wir fahren mit {dat} nach {city}", "wer will {few} {things}",
        "im {month} ist es in {city} {weather}", "{family} ist {often} {feeling}",
    ),
}  # fmt: skip

PATTERNS: dict[Language, dict[Split, tuple[str, ...]]] = {"en": EN, "de": DE}
