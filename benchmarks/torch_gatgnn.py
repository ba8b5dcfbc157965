"""GATGNN in PyTorch and PyTorch Geometric: the rival of every benchmark.

It computes what the published program computes (Louis et al., Phys. Chem. Chem. Phys. 22,
18141, 2020), and its parameters have that program's names and shapes, those it never uses
included, so a published checkpoint loads with `strict=True`. It is arranged as that program is:
the sender's and the receiver's vectors are concatenated with the edge's, edge by edge, and the
edges of an atom are brought together by PyG's `softmax` and `scatter`. Where that costs nothing
in likeness it is faster: no loop over crystals, no concatenation of the two halves of the
attention logit, the mean over heads taken before the scatter.

Shapes: N atoms, E edges, C crystals, H heads, F neurons.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn.inits import glorot
from torch_geometric.utils import scatter, softmax

from data_prep.elements import COMPOSITION_SIZE, FEATURE_SIZE

CLUSTERS = 3
GLOBAL_ATTENTIONS = ("composition", "cluster-fixed", "cluster-random", "none")


class AGAT(nn.Module):
    """Augmented graph-attention layer: atoms attend to their neighbours, bonds included."""

    def __init__(self, neurons: int, heads: int):
        super().__init__()
        self.heads = heads
        self.W = nn.Parameter(torch.empty(2 * neurons, heads * neurons))
        self.att = nn.Parameter(torch.empty(1, heads, 2 * neurons))
        self.bias = nn.Parameter(torch.zeros(neurons))
        self.prelu = nn.PReLU()  # unused there as well: only the checkpoints have it
        self.bn1 = nn.BatchNorm1d(heads)
        glorot(self.W)
        glorot(self.att)

    def forward(self, x: Tensor, edge_index: Tensor, e: Tensor) -> Tensor:
        """Atom vectors x [N, F], bond vectors e [E, F] → [N, F].

        `edge_index` [2, E]: row 0 receives, row 1 sends.
        """
        receiver, sender = edge_index
        h_i = self._project(x, receiver, e)
        h_j = self._project(x, sender, e)
        att_i, att_j = self.att.chunk(2, dim=-1)
        logit = F.softplus((h_i * att_i).sum(-1) + (h_j * att_j).sum(-1))
        logit = F.softplus(self.bn1(logit))
        alpha = softmax(logit, receiver, num_nodes=len(x))
        message = (alpha.unsqueeze(-1) * h_j).mean(1)
        return scatter(message, receiver, dim_size=len(x)) + self.bias

    def _project(self, x: Tensor, atom: Tensor, e: Tensor) -> Tensor:
        # index_select, not x[atom]: its backward, index_add, is the faster one on a CPU.
        pair = torch.cat([x.index_select(0, atom), e], dim=-1)
        return F.softplus(pair @ self.W).view(len(e), self.heads, -1)


class CompositionAttention(nn.Module):
    """GI M-1: an atom's weight from its vector and the crystal's composition."""

    def __init__(self, neurons: int):
        super().__init__()
        self.node_layer1 = nn.Linear(neurons + COMPOSITION_SIZE, 32)
        self.atten_layer = nn.Linear(32, 1)

    def forward(self, x: Tensor, data: Data) -> Tensor:
        """Atom vectors [N, F] → weights [N, 1] that sum to 1 over each crystal."""
        composition = data.composition.index_select(0, data.batch)
        h = F.softplus(self.node_layer1(torch.cat([x, composition], dim=-1)))
        return softmax(self.atten_layer(h), data.batch, num_nodes=data.num_graphs)


class ClusterAttention(nn.Module):
    """GI M-2 (each atom its own cluster) and GI M-3 (another cluster, drawn in every pass)."""

    def __init__(self, neurons: int, draw: bool):
        super().__init__()
        self.draw = draw
        self.learn_unpool = nn.Linear(2 * neurons + 3, CLUSTERS)  # GI M-4's, which never worked
        self.layer_1 = nn.Linear(neurons, neurons)
        self.atten_layer = nn.Linear(neurons, 1)

    def forward(self, x: Tensor, data: Data) -> Tensor:
        """Atom vectors [N, F] → weights [N, 1] that sum to 1 over each crystal."""
        batch, crystals = data.batch, data.num_graphs
        own = CLUSTERS * batch + data.cluster
        cluster_sum = scatter(x, own, dim_size=CLUSTERS * crystals)
        size = torch.bincount(own, minlength=CLUSTERS * crystals)
        cluster = draw_other_cluster(size, data) if self.draw else own

        # The crystal's atom count cancels when the shares are normalized, so sizes will do.
        share = size[cluster].to(x.dtype)
        share = share / scatter(share, batch, dim_size=crystals)[batch]
        small = (torch.bincount(batch, minlength=crystals) <= 2)[batch]
        share = share.masked_fill(small, 1.0)

        h = cluster_sum.index_select(0, cluster) * share.unsqueeze(-1)
        h = F.leaky_relu(self.layer_1(h), 0.45)
        return softmax(self.atten_layer(h), batch, num_nodes=crystals)


def draw_other_cluster(size: Tensor, data: Data) -> Tensor:
    """Draw for each atom one of its crystal's other clusters; a lone cluster keeps its atoms.

    `size` [3 C] is the number of atoms in each cluster; clusters are numbered through the batch.
    """
    eligible = (size.view(-1, CLUSTERS) > 0)[data.batch]
    own = F.one_hot(data.cluster, CLUSTERS).bool()
    others = eligible & ~own
    eligible = torch.where(others.any(1, keepdim=True), others, own)
    drawn = torch.multinomial(eligible.float(), 1).squeeze(1)
    return CLUSTERS * data.batch + drawn


class TorchGATGNN(nn.Module):
    """The whole network: embed, AGAT layers, global attention, readout.

    A batch is a PyG `Data` with `x` [N, 92], `edge_index` [2, E], `edge_attr` [E, B],
    `composition` [C, 103], `cluster` [N] and `batch` [N] (`torch_data` makes them).
    """

    def __init__(
        self,
        layers: int = 3,
        heads: int = 4,
        neurons: int = 64,
        edge_features: int = 41,
        global_attention: str = "composition",
        concat_composition: bool = False,
        classification: bool = False,
    ):
        super().__init__()
        if global_attention not in GLOBAL_ATTENTIONS:
            raise ValueError(f"global_attention: one of {', '.join(GLOBAL_ATTENTIONS)}")
        self.global_attention = global_attention
        self.concat_composition = concat_composition
        self.classification = classification
        self.embed_n = nn.Linear(FEATURE_SIZE, neurons)
        self.embed_e = nn.Linear(edge_features, neurons)
        self.embed_comp = nn.Linear(COMPOSITION_SIZE, neurons)
        self.node_att = nn.ModuleList(AGAT(neurons, heads) for _ in range(layers))
        self.batch_norm = nn.ModuleList(nn.BatchNorm1d(neurons) for _ in range(layers))
        self.cluster_att = ClusterAttention(neurons, draw=global_attention == "cluster-random")
        self.comp_atten = CompositionAttention(neurons)
        hidden = 2 * neurons if concat_composition else neurons
        self.linear1 = nn.Linear(hidden, hidden)
        self.linear2 = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 2 if classification else 1)

    def forward(self, data: Data) -> Tensor:
        """A batch → predictions [C], or logits [C, 2] of a classification."""
        return self.readout(self.atom_vectors(data), data)

    def atom_vectors(self, data: Data) -> Tensor:
        """Embed the atoms and run the AGAT layers → [N, F]."""
        x = self.embed_n(data.x)
        e = F.leaky_relu(self.embed_e(data.edge_attr), 0.2)
        for attend, normalize in zip(self.node_att, self.batch_norm, strict=True):
            x = F.softplus(normalize(attend(x, data.edge_index, e)))
        return x

    def atom_weights(self, x: Tensor, data: Data) -> Tensor:
        """Global attention [N, 1] from the atom vectors [N, F]."""
        if self.global_attention == "none":
            return x.new_ones(len(x), 1)
        if self.global_attention == "composition":
            return self.comp_atten(x, data)
        return self.cluster_att(x, data)

    def readout(self, x: Tensor, data: Data) -> Tensor:
        """Atom vectors [N, F] → weighted sum over each crystal → predictions."""
        y = scatter(self.atom_weights(x, data) * x, data.batch, dim_size=data.num_graphs)
        if self.concat_composition:
            composition = F.leaky_relu(self.embed_comp(data.composition), 0.2)
            y = torch.cat([y, composition], dim=-1)
        y = F.softplus(self.linear1(y))
        y = F.softplus(self.linear2(y))
        y = self.out(y)
        return y if self.classification else y.squeeze(-1)
