# SPDX-License-Identifier: MIT
"""Node.js under the library: JSON, buffers, zlib, crypto and worker threads give the same output."""

from real import run_test

SCRIPT = r"""
const crypto = require('crypto'), zlib = require('zlib');
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const md5 = (data) => crypto.createHash('md5').update(data).digest('hex');
function draw(seed) {
    let x = BigInt(seed);
    return (n) => { x = (x * 1103515245n + 12345n) & 0x7fffffffn; return Number(x) % n; };
}
function work(seed) {
    const next = draw(seed), map = new Map(), out = [];
    for (let i = 0; i < 40000; i++) {
        const key = 'k' + next(4000);
        map.set(key, (map.get(key) || []).concat('v' + next(1000)).slice(-20));
    }
    out.push(md5(JSON.stringify([...map].sort((a, b) => a[0] < b[0] ? -1 : 1))));
    const pieces = [];
    for (let i = 0; i < 3000; i++) pieces.push(Buffer.alloc(1 + next(5000), next(256)));
    const whole = Buffer.concat(pieces), packed = zlib.deflateSync(whole);
    out.push(md5(whole), md5(packed), md5(zlib.inflateSync(packed)) === md5(whole));
    return out.join(' ');
}
if (isMainThread) {
    const answers = [work(SEED)];
    let left = 3;
    for (let i = 0; i < 3; i++)
        new Worker(process.argv[1] || __filename, { workerData: SEED + i + 1 })
            .on('message', (m) => { answers[i + 1] = m; if (--left === 0) console.log(answers.join('\n')); })
            .on('error', (e) => { throw e; });
} else {
    parentPort.postMessage(work(workerData));
}
"""


def body(test):
    node = test.need("node", "nodejs")
    path = test.folder + "/work.js"
    with open(path, "w", encoding="utf-8") as file:
        file.write(SCRIPT.replace("SEED", str(test.seed)))
    plain, preloaded = test.both(lambda _: [node, path], "node")
    test.check(plain.stdout.count(b" true") == 4, "the main thread and three workers answered", plain.stdout)
    test.check_equal(plain.stdout, preloaded.stdout, "equal output")
    test.check_served(preloaded.served, "node")


run_test(body)
