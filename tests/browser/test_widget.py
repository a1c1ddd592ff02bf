"""Try your own picture, in notebook 02 in JupyterLab: a sample, a file and an address, and each one's error."""

import struct

import pytest

from tests.browser.gateway import ROOT
from tests.browser.labpage import NOTEBOOKS, run_for_all

NOTEBOOK = next(file for file in NOTEBOOKS if file.name.startswith("02"))
SAMPLES = ROOT / "notebooks" / "samples"


class Panel:
    """The panel as a person sees it."""

    def __init__(self, panel):
        self.panel, self.last = panel, ""
        self.drawing, self.message = panel.locator("img.widget-image"), panel.locator(".widget-html").last

    def wait_for_drawing(self) -> str:
        """Until there is a drawing that was not there before; returns its address."""
        self.drawing.wait_for()
        for _ in range(300):
            source = self.drawing.get_attribute("src")
            if source and source != self.last and self.drawing.is_visible():
                self.last = source
                assert self.drawing.evaluate("image => image.decode().then(() => image.naturalWidth)") > 600
                assert self.message.inner_text().strip() == ""
                return source
            self.panel.page.wait_for_timeout(100)
        pytest.fail(f"no new drawing; the panel says {self.message.inner_text()!r}")

    def upload(self, file) -> None:
        """Press the button, and choose a file in the dialogue that it opens."""
        with self.panel.page.expect_file_chooser() as dialogue:
            self.panel.get_by_role("button", name="Upload").click()
        dialogue.value.set_files(file)

    def wait_for_words(self, words: str) -> None:
        """Until the panel's message has these words, and no drawing is left that could be taken for an answer."""
        alert = self.panel.get_by_role("alert").filter(has_text=words)
        alert.wait_for()
        assert not self.drawing.is_visible()


def bitmap(width: int, height: int) -> bytes:
    """A grey BMP: 3 bytes a pixel, here 17 MB."""
    head = struct.pack("<2sIII IiiHHIIiiII", b"BM", 54 + width * height * 3, 0, 54, 40, width, height, 1, 24, *[0] * 6)
    return head + b"\x80" * (width * height * 3)


@pytest.fixture
def odd_files(tmp_path):
    """A file that is no image, a photo that is longer than any message to the kernel may be, and one that no browser
    can make smaller. On the disk: what a test hands the browser by itself goes through two pipes, for 10 CPU seconds.
    """
    contents = {"notes.jpg": b"no picture", "photo.bmp": bitmap(2400, 2400), "photo.heic": bytes(17_000_000)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_a_person_asks_with_a_sample_a_file_and_an_address(opened, lab, screenshots, pictures, odd_files):
    page, notebook = opened(NOTEBOOK.name)
    run_for_all(page, notebook, lab, screenshots, NOTEBOOK, {})
    widget = notebook.locator(".jp-OutputArea-output .widget-vbox").first
    widget.scroll_into_view_if_needed()
    panel = Panel(widget)
    widget.get_by_label("Sample").select_option("church")
    by_sample = panel.wait_for_drawing()
    page.screenshot(path=screenshots("lab-your-own-picture"))
    panel.upload(SAMPLES / "tench.jpg")
    by_file = panel.wait_for_drawing()
    widget.get_by_label("URL").fill(f"{pictures}/church.jpg")
    widget.get_by_label("URL").press("Enter")
    by_address = panel.wait_for_drawing()
    assert by_sample != by_file != by_address
    widget.get_by_label("URL").fill("http://127.0.0.1/picture.jpg")
    widget.get_by_label("URL").press("Enter")
    panel.wait_for_words("is not on the public Internet")
    widget.get_by_label("Sample").select_option("golf ball")
    panel.wait_for_drawing()
    panel.upload(odd_files / "notes.jpg")
    panel.wait_for_words("not an image of a supported format")
    page.screenshot(path=screenshots("lab-your-own-picture-error"))
    panel.upload(odd_files / "photo.bmp")
    panel.wait_for_drawing()
    panel.upload(odd_files / "photo.heic")
    panel.wait_for_words("photo.heic has 17.0 MB; at most 4.0 MB are taken")
    panel.upload(SAMPLES / "tench.jpg")
    panel.wait_for_drawing()
    widget.get_by_label("URL").fill("not a url")
    widget.get_by_label("URL").press("Enter")
    panel.wait_for_words("host holds a blank")
    panel.upload(SAMPLES / "church.jpg")  # not the picture of before: its drawing would be the same
    panel.wait_for_drawing()
    assert widget.get_by_role("status").inner_text() == ""
    lab.stop_kernels()  # nobody is left to answer
    panel.upload(SAMPLES / "tench.jpg")
    widget.get_by_role("status").filter(has_text="The kernel has not taken the file yet").wait_for()
