"""The command line: thin verbs. Each imports what it needs when it runs, so that help and mistakes answer at once."""
