"""Measures heyday on real servers. Figures are ratios of one run on one machine, medians of several rounds."""
