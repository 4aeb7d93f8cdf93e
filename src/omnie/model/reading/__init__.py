"""What encoders read in pictures and hear in sounds: letters, put together to words (`spelling.py`) for the decoder.

`words.py` (the heads, and what the decoder gets), `search.py` (from an encoder's scores to the likeliest letters) with
`ngrams.py` (which letters usually follow each other), `marks.py` (what charts' marks say), `things.py` (what is drawn).
"""

from omnie.model.reading.words import MEMORY, Reading, Readings, Seen, Told, Words, read, readings

__all__ = ["MEMORY", "Reading", "Readings", "Seen", "Told", "Words", "read", "readings"]
