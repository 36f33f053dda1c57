"""SQLModel: the models of its tutorial."""

import json
import os
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from pydantic import NaiveDatetime
from sqlmodel import Field, Relationship, Session, SQLModel, create_engine, select


class Team(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(index=True, max_length=60)
    heroes: list["Hero"] = Relationship(back_populates="team")


class Hero(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(index=True, max_length=60)
    born: NaiveDatetime | None = None
    fee: Decimal = Field(default=0, max_digits=8, decimal_places=2)
    mark: UUID
    badge: bytes | None = None
    team_id: int | None = Field(default=None, foreign_key="team.id")
    team: Team | None = Relationship(back_populates="heroes")


engine = create_engine(os.environ["URL"])
SQLModel.metadata.create_all(engine)
with Session(engine) as session:
    team = Team(name="Preventers")
    for number in range(25):
        session.add(
            Hero(
                name=f"Hero {number} – Zürich",
                born=datetime(1990, 1, 1 + number, 12, 30),
                fee=Decimal("12.50") * number,
                mark=UUID(int=number),
                badge=bytes([number, 0, 255, 92, 39]),
                team=team,
            )
        )
    session.commit()
with Session(engine) as session:
    found = session.exec(select(Hero).where(Hero.fee > 100).order_by(Hero.id).limit(3)).all()
    heroes = [
        [h.name, h.born.isoformat(), str(h.fee), str(h.mark), h.badge.hex(), h.team.name, type(h.fee).__name__]
        for h in found
    ]
    found[0].name = "Changed"
    session.delete(found[1])
    session.commit()
    session.refresh(found[0])
    left = len(session.exec(select(Hero)).all())
    team = session.exec(select(Team)).one()
    print(json.dumps([heroes, found[0].name, left, len(team.heroes)]))
engine.dispose()
