"""D4RL's mazes, as maps for the mazes of gymnasium-robotics.

The two lay their coordinates out differently. D4RL's ant starts at the origin, x grows with the column and y with the
row; its ball has the row as x and the column as y. In gymnasium-robotics the origin is the middle of the map, and y
grows against the row. A map that is mirrored, and padded until the origin is in its middle, gives D4RL's coordinates.

Source of the maps: `d4rl/locomotion/maze_env.py` (`*_MAZE_TEST`) and `d4rl/pointmaze/maze_model.py` of
Farama-Foundation/D4RL.
"""

from __future__ import annotations

MazeMap = list[list[int | str]]  # 1 wall, 0 free, "r" start, "g" goal: as gymnasium-robotics has it

_WALLS = {
    "umaze": ("#####", "#...#", "###.#", "#...#", "#####"),
    "medium": ("########", "#..##..#", "#..#...#", "##...###", "#..#...#", "#.#..#.#", "#...#..#", "########"),
    "large": (
        "############",
        "#....#.....#",
        "#.##.#.#.#.#",
        "#......#...#",
        "#.####.###.#",
        "#..#.#.....#",
        "##.#.#.#.###",
        "#..#...#...#",
        "############",
    ),
}
_ANT_GOALS = {"umaze": (3, 1), "medium": (6, 6), "large": (7, 9)}  # row, column
_BALL_GOALS = {"umaze": (1, 1), "medium": (6, 6), "large": (7, 9)}


def ant_maze_map(maze: str) -> MazeMap:
    """The maze of D4RL's `antmaze-<maze>`: the start is cell (1, 1), which is at the origin, and there is one goal."""
    cells = _cells(maze, free=0)
    cells[1][1] = "r"
    row, column = _ANT_GOALS[maze]
    cells[row][column] = "g"
    # With as much padding before the start as there are cells behind it, the start is in the middle. What pads is free,
    # not wall: it is out of reach, and without boxes the simulation is as fast as that of the bare maze.
    above, left = len(cells) - 3, len(cells[0]) - 3
    width = left + len(cells[0])
    padded = [[0] * width for _ in range(above)] + [[*([0] * left), *row] for row in cells]
    return [list(row) for row in reversed(padded)]


def ball_maze_map(maze: str) -> MazeMap:
    """The maze of D4RL's `maze2d-<maze>`: the start is any free cell, and there is one goal."""
    cells = _cells(maze, free="r")
    row, column = _BALL_GOALS[maze]
    cells[row][column] = "g"
    turned = [list(column) for column in zip(*cells, strict=True)]  # x is the row
    above, left = len(turned) - 1, len(turned[0]) - 1  # cell (0, 0) is at the origin
    width = left + len(turned[0])
    padded = [[0] * width for _ in range(above)] + [[*([0] * left), *row] for row in turned]
    return [list(row) for row in reversed(padded)]


def _cells(maze: str, free: int | str) -> MazeMap:
    return [[1 if cell == "#" else free for cell in row] for row in _WALLS[maze]]
