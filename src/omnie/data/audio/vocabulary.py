"""The vocabulary of the spoken sentences: pool -> entries, separated by commas. Entries may hold {slots} of other pools.

Common words of home, office, shop and customer support. German nouns stand by gender, so that `sentences.py` can inflect them.
"""

from omnie.data.words import Language

EN = {
    "name": "anna, peter, maria, thomas, lisa, martin, julia, david, sarah, michael, laura, daniel, emma, paul, nina, robert",
    "thing": "table, chair, lamp, window, door, bottle, book, letter, phone, computer, printer, camera, battery, cable, box, "
    "bag, key, car, bike, train, bus, ticket, picture, clock, radio, knife, spoon, plate, cup, bed, shirt, jacket, "
    "shoe, hat, coat, package, order, invoice, contract, card, password, account, screen, keyboard, mirror, carpet, "
    "garden, kitchen, bathroom, machine, engine, wheel, tool, hammer, pencil, paper, map, umbrella, basket, blanket",
    "things": ""
    "tables, chairs, lamps, windows, doors, bottles, books, letters, phones, cameras, batteries, cables, boxes, bags, "
    "keys, cars, tickets, pictures, plates, cups, shirts, jackets, shoes, packages, invoices, cards, apples, eggs, "
    "tomatoes, potatoes, flowers, children, people, dogs, cats, birds, trees, houses, pages, minutes, hours, days, "
    "weeks",
    "animal": "dog, cat, bird, horse, cow, mouse, fish, rabbit, sheep, duck",
    "food": "bread, butter, cheese, milk, coffee, tea, water, juice, sugar, salt, rice, soup, salad, meat, chicken, cake, "
    "chocolate, honey, fruit, wine, beer, pizza",
    "colour": "red, blue, green, yellow, black, white, brown, grey, orange, purple, pink",
    "adj": "big, small, old, new, good, bad, clean, dirty, heavy, light, cheap, expensive, broken, empty, full, open, "
    "closed, fast, slow, warm, cold, hot, wet, dry, strong, weak, long, short, round, beautiful, quiet, loud, soft, "
    "hard, simple, dangerous, ready, late, early, wrong, right, free, busy",
    "feeling": "happy, sad, tired, angry, hungry, thirsty, ill, afraid, proud, bored, busy, ready, late",
    "place": "in the kitchen, on the table, under the bed, behind the house, next to the door, in the garden, at home, at "
    "work, at school, in the office, at the station, in the street, near the river, in the city, on the roof, in the "
    "car, at the airport, in the hospital, over there, here, upstairs, outside",
    "shop": "shop, bank, museum, library, restaurant, market, office, cinema, school, station, hotel, pharmacy",
    "day": "monday, tuesday, wednesday, thursday, friday, saturday, sunday",
    "month": "january, february, march, april, may, june, july, august, september, october, november, december",
    "ordinal": "first, second, third, fourth, fifth, sixth, seventh, eighth, ninth, tenth, twelfth, twentieth",
    "when": "today, tomorrow, yesterday, now, soon, later, tonight, this morning, this evening, next week, next month, last "
    "year, every day, on {day}, in {month}, in {few} minutes, at {time}",
    "soon": "today, tomorrow, now, soon, tonight, this evening, next week, on {day}, in {few} hours, at {time}",
    "time": "{hour} o'clock, half past {hour}, quarter past {hour}, quarter to {hour}, noon, midnight",
    "do": "open, close, clean, repair, send, find, check, buy, sell, return, cancel, change, move, bring, take, use, wash, "
    "paint, stop, start, lose, show, need, want, like, see",
    "order": "open, close, clean, repair, send, find, check, buy, sell, return, cancel, change, move, bring, take, use, wash, "
    "paint, stop, start, show",
    "device": "light, radio, television, computer, printer, oven, heating, fan, music, alarm, camera",
    "trouble": ""
    "is broken, is too late, is missing, is empty, does not work, did not arrive, is too small, is too expensive, is "
    "lost, has a problem, makes a noise, is not clean",
    "family": "mother, father, brother, sister, son, daughter, uncle, aunt, friend, neighbour, teacher, doctor, boss, customer",
    "live": "lives, works, waits, sleeps, stays, sits, stands, eats, reads, sings, plays, laughs",
    "go": "goes, drives, walks, runs, flies, comes, travels",
    "where_to": ""
    "home, to work, to school, to the office, to the station, to the city, to the doctor, to the market, away, back",
    "weather": "sunny, cloudy, windy, rainy, cold, warm, hot, foggy, dry, wet, nice, bad",
    "have": "has, needs, wants, buys, likes, sells, finds, brings",
    "polite": "please, thank you, sorry, excuse me, of course, no problem, good morning, good evening, hello, goodbye, yes, no",
    "city": "london, berlin, paris, vienna, rome, madrid, hamburg, munich, new york, boston",
    "body": "head, hand, foot, back, arm, leg, eye, ear, tooth, knee",
    "often": "always, never, often, sometimes, usually, rarely",
    "little": "i, you, we, they, he, she, it, who, where, what, why, how, must, will, can, with, without, your, our, this, "
    "that, these, opens, and, or, not, but, very, more, only, get, calculate, tell",
}

DE = {
    "name": "anna, peter, maria, thomas, lisa, martin, julia, david, sarah, michael, laura, daniel, emma, paul, nina, robert",
    "masculine": ""
    "tisch, stuhl, schlüssel, brief, drucker, computer, koffer, zug, bus, spiegel, teppich, garten, keller, wagen, "
    "motor, hammer, stift, schrank, ofen, löffel, teller, becher, mantel, schuh, hut, vertrag, bildschirm, schirm, "
    "korb, ball, termin, film, hund, vogel, baum, fisch",
    "feminine": "lampe, tür, flasche, kamera, batterie, tasche, uhr, karte, rechnung, bestellung, tasse, gabel, jacke, hose, "
    "wohnung, küche, straße, maschine, decke, zeitung, brille, kiste, schere, bluse, katze, blume, maus, adresse, "
    "nummer, lieferung, antwort, frage, heizung, musik",
    "neuter": "fenster, buch, telefon, kabel, auto, fahrrad, bild, radio, messer, bett, hemd, paket, konto, passwort, zimmer, "
    "bad, haus, werkzeug, papier, kissen, handy, licht, glas, regal, sofa, ticket, pferd, boot, kleid, dach",
    "things": "tische, stühle, lampen, fenster, türen, flaschen, bücher, briefe, telefone, kameras, batterien, kabel, kisten, "
    "taschen, schlüssel, autos, karten, bilder, teller, tassen, hemden, jacken, schuhe, pakete, rechnungen, äpfel, "
    "eier, tomaten, kartoffeln, blumen, kinder, leute, hunde, katzen, vögel, bäume, häuser, seiten, minuten, stunden, "
    "tage, wochen",
    "food": "brot, butter, käse, milch, kaffee, tee, wasser, saft, zucker, salz, reis, suppe, salat, fleisch, kuchen, "
    "schokolade, honig, obst, wein, bier, pizza, fisch",
    "colour": "rot, blau, grün, gelb, schwarz, weiß, braun, grau, orange, lila, rosa",
    "adj": "groß, klein, alt, neu, gut, schlecht, sauber, schmutzig, schwer, leicht, billig, teuer, kaputt, leer, voll, "
    "offen, geschlossen, schnell, langsam, warm, kalt, heiß, nass, trocken, stark, schwach, lang, kurz, rund, schön, "
    "leise, laut, weich, hart, einfach, gefährlich, fertig, falsch, richtig, frei",
    "feeling": "glücklich, traurig, müde, wütend, hungrig, durstig, krank, stolz, zufrieden, bereit, gesund, nervös",
    "place": "in der küche, auf dem tisch, unter dem bett, hinter dem haus, neben der tür, im garten, zu hause, bei der "
    "arbeit, in der schule, im büro, am bahnhof, auf der straße, am fluss, in der stadt, auf dem dach, im auto, am "
    "flughafen, im krankenhaus, dort drüben, hier, oben, draußen",
    "shop": "der laden, die bank, das museum, die bibliothek, das restaurant, der markt, das büro, das kino, die schule, das "
    "hotel, die apotheke, die post",
    "day": "montag, dienstag, mittwoch, donnerstag, freitag, samstag, sonntag",
    "month": "januar, februar, märz, april, mai, juni, juli, august, september, oktober, november, dezember",
    "ordinal": "erste, zweite, dritte, vierte, fünfte, sechste, siebte, achte, neunte, zehnte, zwölfte, zwanzigste",
    "when": "heute, morgen, gestern, jetzt, bald, später, heute abend, heute morgen, nächste woche, nächsten monat, jeden "
    "tag, am {day}, im {month}, in {few} minuten, um {time}",
    "soon": "heute, morgen, jetzt, bald, heute abend, nächste woche, am {day}, in {few} stunden, um {time}",
    "time": "{hour} uhr, halb {hour}, viertel nach {hour}, viertel vor {hour}",
    "order": "öffnen, schließen, putzen, reparieren, schicken, finden, prüfen, kaufen, verkaufen, bestellen, ändern, bringen, "
    "nehmen, benutzen, waschen, malen, suchen, zeigen, holen, tragen, bezahlen",
    "device": "das licht, das radio, den fernseher, den computer, den drucker, den ofen, die heizung, die musik, die kamera",
    "trouble": ""
    "ist kaputt, ist zu spät, fehlt, ist leer, funktioniert nicht, ist nicht angekommen, ist zu klein, ist zu teuer, "
    "ist weg, macht probleme, macht geräusche, ist nicht sauber",
    "family": "mein vater, meine mutter, mein bruder, meine schwester, mein sohn, meine tochter, mein onkel, meine tante, mein "
    "freund, der nachbar, die lehrerin, der arzt, der chef, die kundin, der kunde",
    "live": "wohnt, arbeitet, wartet, schläft, bleibt, sitzt, steht, isst, liest, singt, spielt, lacht",
    "go": "geht, fährt, läuft, fliegt, kommt, reist",
    "where_to": "nach hause, zur arbeit, zur schule, ins büro, zum bahnhof, in die stadt, zum arzt, auf den markt, weg, zurück",
    "weather": "sonnig, bewölkt, windig, regnerisch, kalt, warm, heiß, neblig, trocken, nass, schön, schlecht",
    "have": "hat, braucht, will, kauft, mag, verkauft, findet, bringt",
    "polite": "bitte, danke, entschuldigung, natürlich, kein problem, guten morgen, guten abend, hallo, auf wiedersehen, ja, "
    "nein",
    "city": "london, berlin, paris, wien, rom, madrid, hamburg, münchen, zürich, köln",
    "body": "der kopf, die hand, der fuß, der rücken, der arm, das bein, das auge, das ohr, der zahn, das knie",
    "often": "immer, nie, oft, manchmal, meistens, selten",
    "little": "ich, du, wir, sie, er, es, wer, wo, was, warum, wie, muss, kann, kannst, mit, ohne, haben, fahren, gesehen, "
    "dein, unser, dieser, diese, und, oder, nicht, aber, sehr, mehr, nur, sagen, bekommst, berechne",
}

POOLS: dict[Language, dict[str, str]] = {"en": EN, "de": DE}
