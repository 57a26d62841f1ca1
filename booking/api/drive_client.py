"""Every operation of the OpenAPI document through a client that was generated from it.

In: SERVICE_URL and SERVICE_FLIGHTS of the environment; the generated package `booking_service_client` on the path.
Out: exit 0 when a customer could do everything that the document offers, and no generated operation was left out.
"""

from __future__ import annotations

import datetime
import importlib
import io
import os
import pkgutil
import sys
import uuid

import booking_service_client.api as api
from booking_service_client import AuthenticatedClient, Client, models, types

URL = os.environ["SERVICE_URL"]
FLIGHT, OTHER_FLIGHT = (int(flight) for flight in os.environ["SERVICE_FLIGHTS"].split(",")[:2])

OPERATIONS = {
    module.name.rsplit(".", 1)[1]: module.name
    for module in pkgutil.walk_packages(api.__path__, "booking_service_client.api.")
    if not module.ispkg
}
CALLED = set()


def call(name: str, status: int, *path, **arguments):
    """Calls a generated operation and gives what it read, with the headers of the answer."""
    CALLED.add(name)
    answer = importlib.import_module(OPERATIONS[name]).sync_detailed(*path, **arguments)
    assert answer.status_code == status, (name, answer.status_code, answer.content)
    return answer.parsed, answer.headers


def look_around(anybody: Client) -> None:
    airports, _ = call("list_airports", 200, client=anybody, limit=5)
    assert len(airports.airports) == 5 and airports.next_cursor
    flight, _ = call("read_flight", 200, FLIGHT, client=anybody)
    day = datetime.datetime.fromisoformat(str(flight.scheduled_departure)).date()
    seen = set()
    # The day is the airport's own, so it is this one or a neighbour.
    for shift in (-1, 0, 1):
        found, _ = call(
            "search_flights",
            200,
            client=anybody,
            from_=flight.departure_airport,
            to=flight.arrival_airport,
            date=day + datetime.timedelta(days=shift),
        )
        seen |= {found_flight.flight_id for found_flight in found.flights}
    assert FLIGHT in seen, seen
    seats, _ = call("read_seats", 200, FLIGHT, client=anybody)
    assert any(seat.is_free for seat in seats.seats)


def sign_in(anybody: Client) -> tuple[AuthenticatedClient, models.Session]:
    email, password = f"{uuid.uuid4().hex}@example.org", "generated password"
    new = models.NewCustomer(email=email, name="GENERATED CLIENT", password=password)
    made, _ = call("make_customer", 201, client=anybody, body=new)
    session, _ = call("sign_in", 201, client=anybody, body=models.Credentials(email=email, password=password))
    assert session.customer_id == made.customer_id
    return AuthenticatedClient(base_url=URL, token=session.token), session


def change_oneself(customer: AuthenticatedClient, customer_id: int) -> None:
    _, headers = call("read_customer", 200, customer_id, client=customer)
    change = models.CustomerChange(name="ANOTHER NAME", phone="+79000000003")
    changed, _ = call("change_customer", 200, customer_id, client=customer, body=change, if_match=headers["etag"])
    assert (changed.name, changed.phone) == ("ANOTHER NAME", "+79000000003")


def travel(customer: AuthenticatedClient) -> None:
    order = models.NewBooking(
        passengers=[
            models.NewPassenger(document="1234 567890", name="ANN EXAMPLE"),
            models.NewPassenger(document="2345 678901", name="BOB EXAMPLE"),
        ],
        segments=[models.NewSegment(flight_id=FLIGHT, fare=models.Fare.ECONOMY)],
    )
    key = uuid.uuid4().hex
    booking, headers = call("make_booking", 201, client=customer, body=order, idempotency_key=key)
    again, _ = call("make_booking", 201, client=customer, body=order, idempotency_key=key)
    assert again.book_ref == booking.book_ref and len(booking.items) == 2
    ref = booking.book_ref
    listed, _ = call("list_bookings", 200, client=customer)
    assert [summary.book_ref for summary in listed.bookings] == [ref]
    change = models.PassengerChange(email="ann@example.org")
    ticket = booking.passengers[0].ticket_no
    _, headers = call("change_passenger", 200, ref, ticket, client=customer, body=change, if_match=headers["etag"])
    item = booking.items[0].item_id
    change = models.ItemChange(flight_id=OTHER_FLIGHT)
    moved, headers = call("change_item", 200, ref, item, client=customer, body=change, if_match=headers["etag"])
    assert {one.flight_id for one in moved.items} == {FLIGHT, OTHER_FLIGHT}
    item = next(one.item_id for one in moved.items if one.flight_id == OTHER_FLIGHT)
    left, headers = call("cancel_item", 200, ref, item, client=customer, if_match=headers["etag"])
    assert len(left.items) == 1
    item = left.items[0].item_id
    given, _ = call("check_in", 201, ref, item, client=customer)
    passed, _ = call("read_boarding_pass", 200, ref, item, client=customer)
    assert passed == given
    _, headers = call("read_booking", 200, ref, client=customer)
    gone, _ = call("cancel_booking", 200, ref, client=customer, if_match=headers["etag"])
    assert gone.status == models.BookingStatus.CANCELLED


def keep_files(customer: AuthenticatedClient) -> None:
    content = b"\x89PNG\r\n\x1a\n and more"
    form = models.UploadForm(
        file=types.File(payload=io.BytesIO(content), file_name="cat.png", mime_type="image/png"),
        title="My cat",
    )
    made, _ = call("make_upload", 201, client=customer, body=form)
    assert (made.media_type, made.byte_count) == ("image/png", len(content))
    listed, _ = call("list_uploads", 200, client=customer)
    assert [upload.upload_id for upload in listed.uploads] == [made.upload_id]
    call("read_upload", 200, made.upload_id, client=customer)
    _, headers = call("read_content", 200, made.upload_id, client=customer)
    assert int(headers["content-length"]) == len(content)
    call("delete_upload", 204, made.upload_id, client=customer)


def main() -> int:
    anybody = Client(base_url=URL)
    look_around(anybody)
    customer, session = sign_in(anybody)
    change_oneself(customer, session.customer_id)
    travel(customer)
    keep_files(customer)
    call("sign_out", 204, session.session_id, client=customer)
    call("list_bookings", 401, client=customer)
    left_out = set(OPERATIONS) - CALLED
    assert not left_out, left_out
    print(f"{len(CALLED)} operations through the generated client")
    return 0


if __name__ == "__main__":
    sys.exit(main())
