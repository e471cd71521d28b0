# SPDX-License-Identifier: MIT
"""perl under the library: hashes, regular expressions, sorts, closures, threads and fork give the same output."""

from real import run_test

SCRIPT = r"""
use strict; use warnings; use Digest::MD5 'md5_hex'; use Data::Dumper; use Config;
my $x = SEED;
sub draw { $x = ($x * 1103515245 + 12345) & 0x7fffffff; return $x % shift }
my (%tree, @all);
for my $i (1 .. 60000) {
    my ($a, $b) = (draw(300), draw(1000));
    push @{$tree{$a}{$b}}, "value" x (1 + draw(6));
    push @all, join ",", $a, $b, $i;
    delete $tree{draw(300)}{draw(1000)} if $i % 3 == 0;
}
$Data::Dumper::Sortkeys = 1;
print md5_hex(Dumper(\%tree)), "\n";
my $text = join "\n", sort { (split /,/, $a)[1] <=> (split /,/, $b)[1] || $a cmp $b } @all;
(my $other = $text) =~ s/(\d+),(\d+)/<$2|$1>/g;
print md5_hex($text), " ", md5_hex($other), " ", scalar(() = $other =~ /7\|/g), "\n";
my @closures = map { my $n = $_; sub { my $s = "c$n" x shift; length $s } } 1 .. 20000;
my $sum = 0; $sum += $_->(3) for @closures; print "$sum\n";
for my $part (1 .. 4) {
    my $pid = open(my $pipe, "-|") // die;
    if (!$pid) { my @p = grep { /,$part\d*,/ } @all; print md5_hex("@p"), "\n"; exit 0 }
    print <$pipe>; close $pipe or die;
}
if ($Config{useithreads}) {
    require threads;
    my @threads = map { my $n = $_; threads->create(sub { my %h; $h{$_ % 977} .= $_ for 1 .. 20000;
        return md5_hex(join ",", map { "$_=$h{$_}" } sort keys %h) . $n }) } 1 .. 4;
    print $_->join, "\n" for @threads;
}
print "end\n";
"""


def body(test):
    perl = test.need("perl", "perl")
    script = SCRIPT.replace("SEED", str(test.seed))
    plain, preloaded = test.both(lambda _: [perl, "-e", script], "perl")
    test.check(plain.stdout.endswith(b"end\n"), "the script came to its end", plain.stdout)
    test.check_equal(plain.stdout, preloaded.stdout, "equal output")
    test.check_served(preloaded.served, "perl")


run_test(body)
