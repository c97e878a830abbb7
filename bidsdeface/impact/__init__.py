"""The impact of defacing: what the same tools measure on an original and on its defaced image, each alone."""
