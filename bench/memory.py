"""Read so many events of 1 KB at 10 shards and tell the peak memory: `python -m bench.memory 1000`."""

import json
import resource
import sys

from bench.index_pages import IndexPages
from bench.ours import Ours
from bench.payloads import KB_BYTES
from bench.wire import Wire

if __name__ == "__main__":
    count = int(sys.argv[1])
    pages = IndexPages(count, 10, KB_BYTES)
    ours = Ours("http://127.0.0.1:9", "events", shards=10)
    Wire(ours.client).serve(pages.serve, shards=pages.shards)
    assert ours.read_all() == count
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"events": count, "peak_bytes": peak_kb * 1_024}))
