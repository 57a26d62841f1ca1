"""Both presentation tables, computed from the source's rows in Python: shares no SQL and no view with what it checks.

In: plain rows of the primary. Out: the rows that a day must have.
Invariant: written from the definitions in the heads of create_schema.sql, not from load.sql.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import NamedTuple

from support.servers import Server


class Flight(NamedTuple):
    flight_id: int
    scheduled_departure: datetime
    scheduled_arrival: datetime
    departure_airport: str
    arrival_airport: str
    status: str


class Segment(NamedTuple):
    ticket_no: str
    flight_id: int
    amount: Decimal
    passenger_id: str


def day_of(moment: datetime) -> date:
    return moment.astimezone(timezone.utc).date()


@dataclass(frozen=True)
class Source:
    """Flights that were to leave before a moment, and the segments sold on them."""

    flights: dict[int, Flight]
    segments: list[Segment]

    @classmethod
    def read(cls, server: Server, before: datetime) -> Source:
        with server.connect() as session:
            session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            flights = session.execute(
                """SELECT flight_id, scheduled_departure, scheduled_arrival,
                          departure_airport, arrival_airport, status
                   FROM flights WHERE scheduled_departure < %s""",
                (before,),
            ).fetchall()
            segments = session.execute("SELECT ticket_no, flight_id, amount FROM ticket_flights").fetchall()
            passengers = dict(session.execute("SELECT ticket_no, passenger_id FROM tickets").fetchall())
        by_id = {row[0]: Flight(*row) for row in flights}
        sold = [Segment(*row, passengers[row[0]]) for row in segments if row[1] in by_id]
        return cls(by_id, sold)

    def past(self) -> tuple[set[tuple], set[tuple]]:
        return {tuple(row) for row in self.flights.values()}, {tuple(row) for row in self.segments}

    def frequent_flyers(self, day: date) -> set[tuple]:
        """as_of_day, passenger_id, rank_no, group, flights, revenue, home airport, first day, last day."""
        flown: dict[str, list[tuple[Flight, Decimal]]] = defaultdict(list)
        for segment in self.segments:
            flight = self.flights[segment.flight_id]
            if flight.status != "Cancelled" and day_of(flight.scheduled_departure) <= day:
                flown[segment.passenger_id].append((flight, segment.amount))
        frequent = {who: trips for who, trips in flown.items() if len(trips) >= 5}
        revenue = {who: sum(amount for _, amount in trips) for who, trips in frequent.items()}
        order = sorted(frequent, key=lambda who: (-len(frequent[who]), -revenue[who], who))
        return {
            (
                day,
                who,
                order.index(who) + 1,
                "10 flights and more" if len(trips) >= 10 else "5-9 flights",
                len(trips),
                revenue[who],
                home_airport(trips),
                min(day_of(flight.scheduled_departure) for flight, _ in trips),
                max(day_of(flight.scheduled_departure) for flight, _ in trips),
            )
            for who, trips in frequent.items()
        }

    def airport_passenger_flow(self, day: date) -> set[tuple]:
        """flow_day, airport, linked airport, flights out, passengers out, flights in, passengers in."""
        sold = Counter(segment.flight_id for segment in self.segments)
        flow: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for flight in self.flights.values():
            if flight.status == "Cancelled":
                continue
            if day_of(flight.scheduled_departure) == day:
                pair = flow[flight.departure_airport, flight.arrival_airport]
                pair[0] += 1
                pair[1] += sold[flight.flight_id]
            if day_of(flight.scheduled_arrival) == day:
                pair = flow[flight.arrival_airport, flight.departure_airport]
                pair[2] += 1
                pair[3] += sold[flight.flight_id]
        return {(day, *pair, *numbers) for pair, numbers in flow.items()}


def home_airport(trips: list[tuple[Flight, Decimal]]) -> str:
    departures = Counter(flight.departure_airport for flight, _ in trips)
    return min(departures, key=lambda airport: (-departures[airport], airport))


def days(last: date, count: int) -> list[date]:
    return [last - timedelta(days=back) for back in range(count)]
