"""The page in Chromium: every control, its sound, what axe-core finds, screenshots, and how late live pictures come.

Needs Chromium (``apt-get install chromium``), and for accessibility axe-core (``npm pack axe-core``, unpacked; say
with ``--axe`` where its ``axe.min.js`` is). A browser is too heavy for the tests, so this is run by hand:

    python -m benchmarks.page --axe package/axe.min.js --screenshots /tmp/page --json benchmarks/results/page.json
"""
