"""`python -m pipelines` is `oodscan`."""

from pipelines.commands.app import main

main()
