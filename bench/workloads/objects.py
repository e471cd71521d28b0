# SPDX-License-Identifier: MIT
"""Pure Python that allocates: dictionaries, strings, lists and small objects, many short-lived ones, and
what the last eight rounds made.

Run as: objects.py ROUNDS. Ends with status 1 when its own sum is not what the arithmetic says.
"""
import collections
import sys

KEPT = 8


class Node:
    """A node of a binary tree: a small object with a dictionary."""

    def __init__(self, left, right):
        self.left = left
        self.right = right

    def count(self):
        return 1 + (self.left.count() + self.right.count() if self.left else 0)


def tree(depth):
    return Node(tree(depth - 1), tree(depth - 1)) if depth else Node(None, None)


def words(number):
    """Counts words of changing length: strings of 4 to 400 bytes and dictionary growth."""
    seen = {}
    state = number + 1
    for _ in range(6000):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        word = f'w{state % 5000}' * (1 + (state >> 16) % 60)
        seen[word] = seen.get(word, 0) + 1
    return seen


def rows(number):
    """Builds rows of tuples, sorts them and joins them: lists that grow, and one large string."""
    table = [(i * 7919 % 10007, str(i), float(i + number)) for i in range(10007)]
    table.sort()
    text = '\n'.join(','.join(map(str, row)) for row in table)
    return table, text


def main():
    rounds = int(sys.argv[1])
    kept = collections.deque(maxlen=KEPT)
    total = 0
    for number in range(rounds):
        seen, (table, text), nodes = words(number), rows(number), tree(12)
        kept.append((seen, table, nodes))
        total += sum(seen.values()) + text.count('\n') + nodes.count()
    return 0 if total == rounds * (6000 + 10006 + 8191) else 1


if __name__ == '__main__':
    sys.exit(main())
