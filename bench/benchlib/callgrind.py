# SPDX-License-Identifier: MIT
"""Counts instructions per block with callgrind, and tells the allocator's from the program's."""
import os

from .process import Failure


def parse_objects(lines):
    """{object file: instructions executed in it} from the lines of a callgrind output file.

    A cost line belongs to the object named last by "ob=". The line after "calls=" is the cost of the
    callee, which has been counted where it arose, and is left out.
    """
    costs = {}
    current = ''
    of_call = False
    for line in lines:
        if line.startswith('ob='):
            current = line[3:].strip()
        elif line.startswith('calls='):
            of_call = True
        elif line[:1] in '0123456789+-*':
            if not of_call:
                costs[current] = costs.get(current, 0) + int(line.split()[1])
            of_call = False
    return costs


def count(context, allocator, program, scale, fold=os.path.basename):
    """(blocks, {object: instructions}) of one run of a C program of the bench under callgrind."""
    out_path = os.path.join(context.scratch_dir, 'callgrind.out')
    command = [
        'valgrind',
        '--tool=callgrind',
        '--compress-strings=no',
        '--compress-pos=no',
        '--dump-line=no',
        f'--callgrind-out-file={out_path}',
        *program.command(context, scale),
    ]
    sample = context.spawner.run(command, allocator.environment(), context.timeout_s)
    if 'blocks' not in sample['report']:
        raise Failure('the program reported nothing on descriptor 3')
    with open(out_path, encoding='utf-8', errors='replace') as file:
        costs = parse_objects(file)
    os.unlink(out_path)
    folded = {}
    for path, cost in costs.items():
        folded[fold(path)] = folded.get(fold(path), 0) + cost
    return int(sample['report']['blocks']), folded


def per_block(small, large, own):
    """(program's, others') instructions per block, from two counts of different amounts of work: what
    start and end cost is in both and falls out. `own` is the name of the program's object file."""
    blocks = large[0] - small[0]
    if blocks <= 0:
        raise ValueError('the larger run must obtain more blocks')
    added = {name: large[1].get(name, 0) - small[1].get(name, 0) for name in {*small[1], *large[1]}}
    own_part = added.pop(own, 0)
    return own_part / blocks, sum(added.values()) / blocks
