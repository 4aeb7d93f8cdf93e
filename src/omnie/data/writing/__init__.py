"""The parts of written material: word lists, typed values, templates and documents. Tasks are made of them next door."""
