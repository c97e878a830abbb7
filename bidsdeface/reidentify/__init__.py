"""How recognisable heads are: pictures of them, face recognition, and what it finds before and after."""
