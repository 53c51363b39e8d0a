"""Score what systems found, and report it: tables, plots, decisions and advice."""
