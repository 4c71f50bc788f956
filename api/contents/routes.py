"""The contents of a text or a book, without anything being queued."""

from __future__ import annotations

import base64
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.auth.scopes import CanSubmit
from api.contents.requests import BODY, DocumentDep
from api.http.openapi import REFUSALS
from api.jobs.responses import WarningObject
from shared.document import Document
from shared.images import picture_of

router = APIRouter(prefix="/v1/documents", tags=["jobs"])


class SectionObject(BaseModel):
    """A section: a chapter, or a part of the front or back matter.

    `number` is the one that `chapters` of a job takes. `kind` is `chapter`, `text` for a part
    without a title, or such as `copyright` or `index`. `seconds` are an estimate.
    """

    number: int
    title: str | None
    kind: str
    characters: int
    seconds: float
    spoken: bool = Field(description="Whether a job with these options speaks it.")


class DocumentObject(BaseModel):
    """A text as a job would read it; `characters` and `seconds` are of what is spoken."""

    object: Literal["document"] = "document"
    title: str | None
    author: str | None
    language: str | None
    cover: str | None = Field(description="The picture, as a `data:` URL.")
    characters: int
    seconds: float
    sections: list[SectionObject]
    warnings: list[WarningObject]

    @classmethod
    def of(cls, document: Document) -> DocumentObject:
        """The public view of a document."""
        spoken = [each for each in document.sections if each.is_spoken]
        cover = document.details.cover or b""
        picture, encoded = picture_of(cover), base64.b64encode(cover).decode()
        return cls(
            title=document.title,
            author=document.author,
            language=document.language,
            cover=f"data:{picture.media_type};base64,{encoded}" if picture else None,
            characters=sum(each.chars for each in spoken),
            seconds=round(sum(each.seconds for each in spoken), 1),
            sections=[
                SectionObject(
                    number=number,
                    title=each.title,
                    kind=each.kind,
                    characters=each.chars,
                    seconds=each.seconds,
                    spoken=each.is_spoken,
                )
                for number, each in enumerate(document.sections, 1)
            ],
            warnings=[WarningObject(**each._asdict()) for each in document.warnings],
        )


@router.post("", operation_id="list_contents", responses=REFUSALS, openapi_extra=BODY)
def list_contents(_caller: CanSubmit, document: DocumentDep) -> DocumentObject:
    """Return what a text or a book has in it: its sections, their lengths, and warnings.

    Nothing is queued, and nothing kept.
    """
    return DocumentObject.of(document)
