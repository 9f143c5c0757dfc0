"""A cluster that is only made up: its calls run in this process.

engine = engine_on(MadeUpCluster(1, 2), requirements)      # two nodes, of one core and of two
"""

import pickle

from pipeline.cluster.engine import ClusterEngine
from pipeline.cluster.nodes import Nodes
from pipeline.cluster.ray_cluster import LostWork, Node


class MadeUpCluster:
    """Calls run when they are waited for, one at a time, the last one first; checks are answered at once."""

    def __init__(self, *cpus):
        self.all = [Node(str(number), f"node-{number}", f"10.0.0.{number}", count) for number, count in enumerate(cpus)]
        self.is_reachable = True
        self.lost = set()  # ids of nodes on which calls get lost
        self.silent = set()  # ids of nodes from which nothing comes back
        self.calls, self.placed, self.left = {}, {}, []
        self.most = self.count = 0

    def nodes(self):
        return list(self.all)

    def head_answers(self):
        return self.is_reachable

    def submit(self, function, argument, node):
        self.count += 1
        self.placed[self.count] = node.id
        self.calls[self.count] = function, argument, node
        self.most = max(self.most, sum(bool(argument.call) for _, argument, _ in self.calls.values()))
        return self.count

    submit_check = submit_alone = submit

    def wait(self, tickets, seconds):
        able = [ticket for ticket in tickets if self.calls[ticket][2].id not in self.silent]
        return able if seconds == 0 else able[-1:]

    def outcome(self, ticket):
        function, argument, node = self.calls.pop(ticket)
        if node.id in self.lost:
            raise LostWork("lost")
        return function(pickle.loads(pickle.dumps(argument)))

    def wait_for_all(self, tickets, seconds):
        self.left = [self.outcome(ticket) for ticket in tickets]


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 0.5
        return self.now


def engine_on(cluster, requirements, workers=0):
    nodes = Nodes(cluster, requirements, Clock())
    nodes.check()
    return ClusterEngine(cluster, requirements, nodes, workers)
