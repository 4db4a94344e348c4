"""Rectangles of pixels."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels; right and bottom are outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """In pixels."""
        return (self.right - self.left) * (self.bottom - self.top)

    @property
    def slices(self) -> tuple[slice, slice]:
        """To index an image with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def doubled(self, half: "Window", width: int, height: int) -> "Window":
        """The same in an image of twice the size, which may have an odd last row or column.

        Args:
            half: all of the image that this is a window of.
            width: of the image of twice the size.
            height: likewise.
        """
        right = width if self.right == half.right else 2 * self.right
        bottom = height if self.bottom == half.bottom else 2 * self.bottom
        return Window(2 * self.left, 2 * self.top, right, bottom)
