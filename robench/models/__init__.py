"""Networks: factories that the registry's cards name, and how they are built and loaded."""
