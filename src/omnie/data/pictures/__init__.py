"""What pictures of text lines, things and shapes are made of: grounds and inks, emoji drawings, shapes, questions."""
