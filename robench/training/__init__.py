"""Recipes: how a network is trained. Each recipe is one module over the same epoch loop."""
