"""Print the Nth `sh` command block of a README, so that what is documented is what is run."""

import re
import sys
from pathlib import Path

readme, number = Path(sys.argv[1]).read_text(encoding="utf-8"), int(sys.argv[2])
blocks = re.findall(r"^```sh\n(.*?)^```$", readme, flags=re.DOTALL | re.MULTILINE)
print(blocks[number - 1].strip())
