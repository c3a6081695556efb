import base64
import hashlib
import re
import socket
import threading
import time
from dataclasses import replace

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from jobs.janitor import DAY, tidy_up
from jobs.resumable import ResumableUploads, UploadGone, UploadUnfinished
from studio.guard import Guard
from studio.upload_routes import PIECE_TYPE, upload_router

TUS = {"Tus-Resumable": "1.0.0"}
CONTENT = b"".join(b"text number %d,%d\n" % (number, number % 3) for number in range(20_000))


def web(services) -> TestClient:
    """A web process of its own: nothing but the home is shared with the one before."""
    app = FastAPI()
    app.include_router(upload_router(services))
    app.add_middleware(Guard, settings=services.settings)
    return TestClient(app, base_url="http://127.0.0.1:7860")


def begin(client: TestClient, name: str = "rows.csv", length: int = len(CONTENT)):
    filename = base64.b64encode(name.encode()).decode()
    return client.post("/uploads", headers={**TUS, "Upload-Length": str(length), "Upload-Metadata": f"filename {filename}"})


def send(client: TestClient, address: str, offset: int, content: bytes, **headers: str):
    return client.patch(address, content=content, headers={
        **TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream", **headers})


def offset_of(client: TestClient, address: str) -> int:
    answer = client.head(address, headers=TUS)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    return int(answer.headers["Upload-Offset"])


def id_of(address: str) -> str:
    return address.rpartition("/")[2]


def test_a_file_comes_in_pieces_through_two_web_processes_and_becomes_the_dataset_it_would_be_otherwise(services):
    answer = begin(web(services))
    assert answer.status_code == 201
    address = answer.headers["Location"]
    assert re.fullmatch(r"/uploads/[\w-]{32}", address)
    assert send(web(services), address, 0, CONTENT[:100_000]).headers["Upload-Offset"] == "100000"
    after_a_restart = web(services)
    assert offset_of(after_a_restart, address) == 100_000
    with pytest.raises(UploadUnfinished, match=r"Only 100 kB of 'rows\.csv' have come"):
        ResumableUploads(services).keep([id_of(address)])
    assert send(after_a_restart, address, 100_000, CONTENT[100_000:]).status_code == 204
    dataset = ResumableUploads(services).keep([id_of(address)])
    assert (dataset.name, dataset.bytes, dataset.origin) == ("rows.csv", len(CONTENT), {"kind": "upload"})
    assert dataset.files[0]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert (services.settings.uploads_dir / dataset.files[0]["path"]).read_bytes() == CONTENT
    assert list(services.settings.temporary_dir.iterdir()) == []
    assert after_a_restart.head(address, headers=TUS).status_code == 404


def test_a_piece_that_does_not_begin_where_the_upload_stands_is_refused(services):
    client = web(services)
    address = begin(client).headers["Location"]
    send(client, address, 0, CONTENT[:1000])
    for offset in (0, 999, 1001):
        answer = send(client, address, offset, CONTENT[offset:2000])
        assert (answer.status_code, answer.text) == (409, f"'rows.csv' goes on at byte 1,000, not at {offset:,}.")
    assert send(client, address, 1000, CONTENT[1000:] + b"more").status_code == 409
    assert offset_of(client, address) == 1000


def test_one_connection_at_a_time_writes_to_an_upload(services):
    client = web(services)
    address = begin(client).headers["Location"]
    with ResumableUploads(services).open(id_of(address), 0) as writer:
        writer.write(b"x" * 10)
        answer = send(client, address, 10, b"y")
    assert (answer.status_code, "still sending" in answer.text) == (423, True)
    assert send(client, address, 10, b"y").status_code == 204


def test_a_removed_upload_is_gone_and_one_that_nobody_goes_on_with_is_removed_after_a_day(services):
    client = web(services)
    addresses = [begin(client).headers["Location"] for _ in range(2)]
    assert client.delete(addresses[0], headers=TUS).status_code == 204
    for answer in (client.delete(addresses[0], headers=TUS), client.head(addresses[0], headers=TUS),
                   send(client, addresses[0], 0, b"x")):
        assert answer.status_code == 404
    tidy_up(services, time.time() + DAY - 60)
    assert offset_of(client, addresses[1]) == 0
    tidy_up(services, time.time() + DAY + 60)
    assert client.head(addresses[1], headers=TUS).status_code == 404
    with pytest.raises(UploadGone, match="choose the file again"):
        ResumableUploads(services).keep([id_of(addresses[1])])


@pytest.mark.parametrize("id", ["../studio", "..%2f..%2fstudio.db", "a" * 32, "short"])
def test_only_the_ids_that_were_given_out_mean_anything(services, id):
    assert web(services).head(f"/uploads/{id}", headers=TUS).status_code == 404
    with pytest.raises(UploadGone):
        ResumableUploads(services).find(id)


def test_what_is_too_large_for_the_limit_or_the_disk_is_refused_before_a_byte_is_sent(services):
    small = replace(services, settings=replace(services.settings, upload_limit=1000))
    answer = begin(web(small))
    assert answer.status_code == 413
    assert "one upload may have 1.0 kB (STUDIO_UPLOAD_LIMIT)" in answer.text
    full = replace(services, settings=replace(services.settings, free_space_floor=10**18))
    answer = begin(web(full))
    assert (answer.status_code, "GB free" in answer.text) == (507, True)
    address = begin(web(services)).headers["Location"]
    answer = send(web(full), address, 0, b"x")
    assert (answer.status_code, "Delete runs or data" in answer.text) == (507, True)
    assert offset_of(web(services), address) == 0


@pytest.mark.parametrize("name", ["film.mp4", "no ending", ""])
def test_a_file_that_is_no_data_by_its_name_is_refused_before_a_byte_is_sent(services, name):
    answer = begin(web(services), name)
    assert answer.status_code == 415
    assert ".csv" in answer.text


@pytest.mark.parametrize(("method", "headers", "status"), [
    ("POST", {}, 412),
    ("POST", {"Tus-Resumable": "0.2.2"}, 412),
    ("POST", TUS, 400),
    ("POST", {**TUS, "Upload-Length": "-1"}, 400),
    ("PATCH", TUS, 400),
    ("PATCH", {**TUS, "Upload-Offset": "0"}, 415),
    ("PATCH", {**TUS, "Upload-Offset": "0", "Content-Type": PIECE_TYPE, "Origin": "http://evil.example"}, 403),
    ("DELETE", {**TUS, "Sec-Fetch-Site": "cross-site"}, 403),
])
def test_requests_that_are_wrong_change_nothing(services, method, headers, status):
    client = web(services)
    address = begin(client).headers["Location"]
    answer = client.request(method, "/uploads" if method == "POST" else address, headers=headers)
    assert (answer.status_code, bool(answer.text)) == (status, True)
    assert offset_of(client, address) == 0


def test_the_studio_says_what_it_speaks(services):
    answer = web(services).options("/uploads")
    assert answer.status_code == 204
    assert {"Tus-Version": "1.0.0", "Tus-Extension": "creation,termination", "Tus-Max-Size": str(5 * 1024**3)}.items() <= {
        name: answer.headers[name] for name in ("Tus-Version", "Tus-Extension", "Tus-Max-Size")}.items()


def test_a_name_that_means_something_to_the_file_system_is_made_harmless(services):
    client = web(services)
    address = begin(client, "../../evil/\x00.csv", 3).headers["Location"]
    send(client, address, 0, b"abc")
    dataset = ResumableUploads(services).keep([id_of(address)])
    assert dataset.name == "_.._evil__.csv"


@pytest.fixture
def served(services):
    """The routes on a real socket, so that connections can break."""
    app = FastAPI()
    app.include_router(upload_router(services))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
    yield server.servers[0].sockets[0].getsockname()
    server.should_exit = True
    thread.join(timeout=60)


def test_what_came_before_a_connection_broke_counts(services, served):
    uploads = ResumableUploads(services)
    upload = uploads.create("rows.csv", len(CONTENT))
    head = f"PATCH /uploads/{upload.id} HTTP/1.1\r\nHost: here\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n" \
           f"Content-Type: application/offset+octet-stream\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
    with socket.create_connection(served) as connection:
        connection.sendall(head.encode() + CONTENT[:150_000])
    deadline = time.monotonic() + 120
    while not (offset := uploads.find(upload.id).offset) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert 0 < offset <= 150_000  # the last bytes may have been in the server's own buffer
    assert upload.path.read_bytes() == CONTENT[:offset]
    with uploads.open(upload.id, offset) as writer:  # the lock is free again
        writer.write(CONTENT[offset:])
    assert uploads.keep([upload.id]).files[0]["sha256"] == hashlib.sha256(CONTENT).hexdigest()
