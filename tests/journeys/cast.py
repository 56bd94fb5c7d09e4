"""The people of these tests, and what they may do."""

PEOPLE = {"ada": "annotator", "ben": "annotator", "rhea": "researcher", "lea": "admin"}
PASSWORD = "a kite in the apple tree"
