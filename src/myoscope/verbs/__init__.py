"""The verbs of the command line, by what they are about. Everything heavy is imported when its verb runs."""
