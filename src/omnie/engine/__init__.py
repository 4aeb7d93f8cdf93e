"""Tokens in, token ids out: requests, sampling and the decode loop. No text, no files, no training here."""
