"""What encoders read in pictures and hear in sounds: letters, put together to words (`spelling.py`) for the decoder."""

from omnie.model.reading.words import MEMORY, Reading, Readings, Told, Words, read, readings

__all__ = ["MEMORY", "Reading", "Readings", "Told", "Words", "read", "readings"]
