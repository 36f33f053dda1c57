"""Flask-SQLAlchemy: an application with a model, pages and a failed request."""

import json
import os

from flask import Flask, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import IntegrityError

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["URL"]
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_pre_ping": True}
db = SQLAlchemy(app)


class Note(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    title = db.Column(db.String(40), unique=True, nullable=False)
    data = db.Column(db.JSON)


@app.post("/notes")
def add():
    note = Note(**request.get_json())
    db.session.add(note)
    try:
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        return jsonify(error="taken"), 409
    return jsonify(id=note.id), 201


@app.get("/notes")
def pages():
    page = db.paginate(db.select(Note).order_by(Note.title.desc()), per_page=4)
    return jsonify(total=page.total, pages=page.pages, items=[[n.title, n.data] for n in page.items])


with app.app_context():
    db.create_all()
client = app.test_client()
seen = [
    client.post("/notes", json={"title": f"note {n:02}", "data": {"n": n, "é": [None, 1.5]}}).json for n in range(10)
]
refused = client.post("/notes", json={"title": "note 03"})
seen += [refused.status_code, refused.json, client.get("/notes?page=2").json, client.get("/notes?page=3").json]
print(json.dumps(seen))
with app.app_context():
    db.engine.dispose()
