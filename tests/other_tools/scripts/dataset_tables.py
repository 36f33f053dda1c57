"""dataset: tables that grow columns as rows come."""

import json
import os
from datetime import datetime

import dataset

with dataset.connect(os.environ["URL"]) as db:
    table = db["person"]
    table.insert({"name": "Ada", "born": 1815})
    table.insert_many([{"name": f"P{n}", "born": 1900 + n, "score": n / 4} for n in range(50)])
    table.insert({"name": "Grace", "born": 1906, "seen": datetime(2026, 11, 29, 3, 17)})
    table.upsert({"name": "Ada", "born": 1816}, ["name"])
    table.update({"name": "P1", "score": 99.5}, ["name"])
    table.create_index(["name"])
seen = []
db = dataset.connect(os.environ["URL"])
table = db["person"]
seen.append(table.columns)
seen.append(len(table))
seen.append([dict(row) for row in table.find(born={">=": 1940}, order_by="-born", _limit=3)])
seen.append(table.find_one(name="Ada"))
seen.append([row["n"] for row in db.query("SELECT count(*) AS n FROM person WHERE score IS NOT NULL")])
try:
    with db as transaction:
        transaction["person"].insert({"name": "Gone"})
        raise KeyError
except KeyError:
    pass
seen.append(table.find_one(name="Gone"))
seen.append(table.delete(born={"<": 1910}))
seen.append(table.count())
table.drop()
seen.append(db.tables)
db.close()
print(json.dumps(seen, default=str))
