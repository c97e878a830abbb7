"""Images as arrays and affines: reading and writing, registration, the face mask, the methods."""
