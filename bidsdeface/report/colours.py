"""The colours of pictures and pages. They differ for the colour-blind, too (Okabe and Ito, 2008)."""

MASK, GUARD, CROSSHAIR = "#e69f00", "#56b4e9", "#009e73"
