"""FastAPI with asynchronous sessions of SQLAlchemy, many requests at once."""

import asyncio
import json
import os
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import ForeignKey, String, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

engine = create_async_engine(os.environ["ASYNC_URL"], pool_pre_ping=True)
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    tags: Mapped[list["Tag"]] = relationship()


class Tag(Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("item.id"))
    word: Mapped[str] = mapped_column(String(20))


@asynccontextmanager
async def lifespan(_):
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


async def session():
    async with sessions() as made:
        yield made


app = FastAPI(lifespan=lifespan)
Db = Annotated[AsyncSession, Depends(session)]


@app.post("/items/{item_id}")
async def add(item_id: int, db: Db):
    db.add(Item(id=item_id, name=f"item {item_id}", tags=[Tag(word=f"w{n}") for n in range(item_id % 3)]))
    await db.commit()
    return {"id": item_id}


@app.get("/items/{item_id}")
async def read(item_id: int, db: Db):
    item = await db.scalar(select(Item).where(Item.id == item_id).options(selectinload(Item.tags)))
    if item is None:
        raise HTTPException(404)
    return {"name": item.name, "tags": sorted(tag.word for tag in item.tags)}


@app.get("/count")
async def count(db: Db):
    return {"count": await db.scalar(select(func.count()).select_from(Item))}


async def main():
    # SQLite lets one write at a time: as many at once as it can take.
    at_once = asyncio.Semaphore(1 if os.environ["KIND"] == "sqlite" else 5)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://app") as http:

        async def post(number):
            async with at_once:
                return (await http.post(f"/items/{number}")).status_code

        written = await asyncio.gather(*(post(number) for number in range(1, 41)))
        read = await asyncio.gather(*(http.get(f"/items/{number}") for number in range(1, 61)))
        total = (await http.get("/count")).json()
    print(json.dumps([written, [[answer.status_code, answer.json()] for answer in read], total]))


asyncio.run(main())
