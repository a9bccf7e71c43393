"""A model, an attack, a defense, a data set and a recipe for robench."""
