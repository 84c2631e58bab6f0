"""The signed verdict: its keys, its statement, and how it is verified offline."""
