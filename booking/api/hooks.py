"""What the generated tests know of the running service: values that exist, beside those that are made up.

In: the variables SERVICE_… of the environment. Out: requests, some of which name flights, bookings, items and sessions
that are there, so that each operation also does what it is for. The other requests stay as they were generated.
"""

from __future__ import annotations

import os
import random

import httpx
import schemathesis

FLIGHTS = [int(flight) for flight in os.environ["SERVICE_FLIGHTS"].split(",")]
CUSTOMER = int(os.environ["SERVICE_CUSTOMER"])
TOKEN = os.environ["SERVICE_TOKEN"]
CREDENTIALS = {"email": os.environ["SERVICE_EMAIL"], "password": os.environ["SERVICE_PASSWORD"]}
CLIENT = httpx.Client(
    base_url=os.environ["SERVICE_URL"],
    headers={"Authorization": f"Bearer {TOKEN}"},
    timeout=30,
)
RANDOM = random.Random(1)


# The smallest beginning of a file that is taken.
PNG = b"\x89PNG\r\n\x1a\n and more"


def new_upload() -> str:
    """The number of an upload, made as a customer would."""
    files = {"file": ("generated.png", PNG, "image/png")}
    answer = CLIENT.post("/api/v1/uploads", data={"title": "GENERATED TEST"}, files=files)
    answer.raise_for_status()
    return answer.json()["upload_id"]


def often() -> bool:
    """Whether a value that exists takes the place of the generated one."""
    return RANDOM.random() < 0.5


def new_booking(flight_id: int) -> dict:
    """A booking that exists, made as a customer would."""
    order = {
        "passengers": [{"document": "1234 567890", "name": "GENERATED TEST"}],
        "segments": [{"flight_id": flight_id, "fare": "Economy"}],
    }
    answer = CLIENT.post("/api/v1/bookings", json=order)
    answer.raise_for_status()
    return answer.json()


@schemathesis.hook
def before_call(context, case, kwargs):
    """Puts values that exist into some of the requests that keep to the document."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    # The address is what the tests sign in with.
    if case.operation.path.startswith("/api/v1/customers/") and isinstance(case.body, dict):
        case.body.pop("email", None)
    if not often():
        return
    if isinstance(case.path_parameters, dict):
        place(case, case.path_parameters)
    if case.headers is not None and "If-Match" in case.headers:
        case.headers["If-Match"] = "*"
    if case.operation.path == "/api/v1/bookings" and isinstance(case.body, dict):
        board(case.body)
    if case.operation.path == "/api/v1/flights" and isinstance(case.query, dict):
        look_for(case.query)


def place(case, parameters: dict) -> None:
    """Names in a path what is there."""
    if "flight_id" in parameters:
        parameters["flight_id"] = RANDOM.choice(FLIGHTS)
    if "customer_id" in parameters:
        parameters["customer_id"] = CUSTOMER
    if "session_id" in parameters:
        session = CLIENT.post("/api/v1/sessions", json=CREDENTIALS)
        parameters["session_id"] = session.json()["session_id"]
    if "upload_id" in parameters:
        parameters["upload_id"] = new_upload()
    if "book_ref" in parameters:
        place_booking(case, parameters)


def look_for(query: dict) -> None:
    """Asks for the route of a flight that is there, on its day or a neighbour of it."""
    flight = CLIENT.get(f"/api/v1/flights/{RANDOM.choice(FLIGHTS)}").raise_for_status().json()
    query["from"], query["to"] = flight["departure_airport"], flight["arrival_airport"]
    query["date"] = flight["scheduled_departure"][:10]
    # A cursor is one that an answer has given.
    query.pop("cursor", None)


def board(body: dict) -> None:
    """Books one flight that is there, and leaves the seats to the service."""
    body["segments"] = [{"flight_id": RANDOM.choice(FLIGHTS), "fare": "Economy"}]


def place_booking(case, parameters: dict) -> None:
    """Names a booking, and an item or a passenger of it; checks it in if its boarding pass is asked for."""
    # The first flight is the one whose check-in is open.
    is_pass = case.operation.path.endswith("/boarding-pass")
    booking = new_booking(FLIGHTS[0] if is_pass else RANDOM.choice(FLIGHTS))
    parameters["book_ref"] = booking["book_ref"]
    item = booking["items"][0]
    if "item_id" in parameters:
        parameters["item_id"] = item["item_id"]
    if "ticket_no" in parameters:
        parameters["ticket_no"] = item["ticket_no"]
    if is_pass:
        path = f"/api/v1/bookings/{booking['book_ref']}/items/{item['item_id']}/check-in"
        CLIENT.post(path).raise_for_status()
