"""How recognisable heads are: pictures of them, face recognition, and its results before and after."""
