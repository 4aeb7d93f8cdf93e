"""Cases made by tools that training never touches: what they are (`cases.toml`, `files/`) and how a model does (`scores.py`).

How each file was made stands in `tools/wild/` of the repository.
"""
