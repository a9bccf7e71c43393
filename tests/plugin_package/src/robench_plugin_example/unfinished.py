"""Cannot be imported, on purpose."""

import robench

raise ImportError(f"this attack needs a library that {robench.__name__} does not")
